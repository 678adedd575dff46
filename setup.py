from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = next(
    line.split('"')[1]
    for line in (here / "asteroid_scoresup" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

RECIPE = ["openunmix>=1.3"]
DOCS = ["sphinx", "sphinx-rtd-theme", "myst-parser"]
# Exporting needs onnx, running the exported model onnxruntime.
ONNX = ["onnx>=1.15", "onnxruntime>=1.17"]
# Scripts that complete the command line in a shell.
COMPLETION = ["shtab>=1.7"]
# Experiment trackers besides CSV files.
TENSORBOARD = ["tensorboard>=2.14"]
WANDB = ["wandb>=0.16"]
# Executes the notebooks of docs/notebooks in the tests.
NOTEBOOKS = ["nbclient>=0.8", "ipykernel>=6"]
# Data sets by name; it brings clients of cloud storage, so the tests run without it too.
MIRDATA = ["mirdata>=0.3.8"]
# Peers in benchmarks: alignment by MrMsDTW.
BENCH = ["synctoolbox>=1.4"]
TESTS = [
    *RECIPE,
    *NOTEBOOKS,
    *COMPLETION,
    *TENSORBOARD,
    *DOCS,
    *ONNX,
    "pytest>=8",
    "pytest-xdist>=3.7",
    "hypothesis",
    "ruff==0.17.6",
    "selenium>=4.20",
    "mypy>=1.10",
    "types-PyYAML",
    "partitura>=1.5",  # an independent reader of MusicXML
    "webdataset>=0.2.86",  # an independent reader of shards
]

setup(
    name="asteroid-scoresup",
    version=version,
    description="Training music separators without stems, from recordings and their scores",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    author="The asteroid-scoresup authors",
    project_urls={
        "Paper": "https://arxiv.org/abs/2010.11904",
        "Asteroid": "https://github.com/asteroid-team/asteroid",
    },
    packages=find_packages(include=["asteroid_scoresup", "asteroid_scoresup.*"]),
    py_modules=["asteroid_scoresup_cli", "asteroid_scoresup_onnx"],
    package_data={
        "asteroid_scoresup.report": ["page_assets/*"],
        "asteroid_scoresup": ["py.typed", "pretrained/*"],
    },
    python_requires=">=3.10,<3.14",
    # Versions that install from scratch and work together: README.md, Install.
    install_requires=[
        "asteroid>=0.7.0",
        "asteroid-filterbanks>=0.4.0",
        "huggingface_hub>=0.23",  # asteroid brings it too
        "safetensors>=0.4.3",  # weights of models to share; a wheel without dependencies
        "requests>=2.28",  # asteroid imports it without declaring it
        "torch>=2.4,<2.12",
        "torchaudio>=2.4,<2.12",
        "pytorch-lightning>=2.6",
        "setuptools>=65,<82",  # lightning still imports pkg_resources
        "mir_eval>=0.7,<0.9",
        "pretty_midi>=0.2.11",
        "soundfile>=0.13",  # bit rates of MP3 files
        "soxr>=0.4",
        "numpy>=1.26",
        "scipy>=1.11",
        "PyYAML>=6",
        "matplotlib>=3.8",
        "pandas>=2",
        "mido>=1.2.9",  # MidiFile(clip=True)
        "Pillow>=9.3",  # wheels for Python 3.11; Image.Resampling, which TensorBoard needs
        "tqdm>=4.64",
        "joblib>=1.5",
        "filelock>=3.12",
    ],
    extras_require={
        "recipe": RECIPE,
        "onnx": ONNX,
        "completion": COMPLETION,
        "tensorboard": TENSORBOARD,
        "wandb": WANDB,
        "mirdata": MIRDATA,
        "bench": BENCH,
        "notebooks": NOTEBOOKS,
        "tests": TESTS,
        "docs": DOCS,
    },
    entry_points={"console_scripts": ["asteroid-scoresup=asteroid_scoresup_cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
