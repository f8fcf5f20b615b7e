"""Independent pieces of work on the workers of a Dask cluster (docs/scaling.md)."""
