# The package with its recipe.
#
#   docker build -t asteroid-scoresup .                                       CPU
#   docker build -t asteroid-scoresup:cuda --build-arg TORCH_INDEX= .         CUDA, with PyPI's torch
#   docker run --rm -v "$PWD:/songs" asteroid-scoresup separate song.mp3
#   docker run --rm -v "$PWD:/songs" --entrypoint bash asteroid-scoresup \
#     /opt/scoresup/egs/slakh/run.sh --preset mini --data_dir /songs/data --exp_root /songs/exp
#
# With CUDA, add --gpus all (NVIDIA's container toolkit), and --shm-size 8g for loader processes.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# An index with CPU wheels, whose versions (2.x+cpu) pip prefers; empty for PyPI's wheels with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# pesq, a dependency of Asteroid, is compiled.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY setup.py pyproject.toml README.md LICENSE asteroid_scoresup_cli.py asteroid_scoresup_onnx.py ./
COPY asteroid_scoresup asteroid_scoresup
# tinysoundfont plays SoundFonts; its dependencies are for live playing.
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
      '.[recipe,onnx,tensorboard]' \
 && pip install --no-cache-dir --no-deps 'tinysoundfont>=0.3.6'

FROM python:${PYTHON}-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 user
COPY --from=build /opt/venv /opt/venv
COPY egs /opt/scoresup/egs
COPY examples /opt/scoresup/examples
ENV PATH=/opt/venv/bin:$PATH
# By number, so that a system that refuses root can see that it is another user.
USER 1000
WORKDIR /songs
ENTRYPOINT ["asteroid-scoresup"]
CMD ["--help"]
