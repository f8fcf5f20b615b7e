"""What dpm is called, needs and installs; the tools' settings are in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    name="dpm",
    version="0.1.0",
    description="Deep unsupervised learning using nonequilibrium thermodynamics, as symbolic graphs",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["dpm", "dpm.*"]),
    package_data={"dpm.reports.html": ["templates/*"], "dpm.datasets": ["embedded/*"]},
    install_requires=[
        "pytensor>=3.0,<4",
        "numpy",
        "scipy",
        "h5py",
        "tqdm",
        "matplotlib",
        "Pillow",
        "pooch",
        "threadpoolctl",
    ],
    extras_require={
        "jax": ["jax", "flatbuffers"],
        "jax-cuda": ["jax[cuda13]", "flatbuffers"],
        "test": [
            "pytest",
            "pytest-cov",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "mypy",
            "safetensors",
            "bokeh",
            "jinja2",
            "playwright",
            "tensorboardX",
        ],
        "tensorboard": ["tensorboardX"],
        "report": ["bokeh", "jinja2"],
        "embed": ["mlxtend"],
        "baselines": ["scikit-learn"],
    },
)
