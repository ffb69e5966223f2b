# leap-audit in a container that needs no network when it runs.
#
#   docker build --target cpu -t leap-audit .
#   docker build --target gpu -t leap-audit:gpu .          # CUDA 13, cuDNN 9
#   docker run --rm --network none -v "$PWD:/work" leap-audit model.onnx

FROM python:3.12-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY templates ./templates
COPY leap_audit ./leap_audit
RUN python -m pip install --no-cache-dir "build>=1.2" "hatchling>=1.27" \
    && python -m build --wheel --no-isolation --outdir /dist .

FROM python:3.12-slim-bookworm AS cpu
# Debian and Ubuntu keep only the newest build of a package, so a pinned one soon fails.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 auditor
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    python -m venv /opt/leap-audit \
    && /opt/leap-audit/bin/pip install --no-cache-dir "$(ls /dist/leap_audit-*.whl)[cpu]"
ENV PATH=/opt/leap-audit/bin:$PATH
USER 1000
WORKDIR /work
ENTRYPOINT ["leap-audit"]
CMD ["--help"]

FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 AS gpu
# Debian and Ubuntu keep only the newest build of a package, so a pinned one soon fails.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3 python3-venv libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 \
    && rm -rf /var/lib/apt/lists/* \
    && userdel --remove ubuntu \
    && useradd --create-home --uid 1000 auditor
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    python3 -m venv /opt/leap-audit \
    && /opt/leap-audit/bin/pip install --no-cache-dir "$(ls /dist/leap_audit-*.whl)[gpu]"
ENV PATH=/opt/leap-audit/bin:$PATH
USER 1000
WORKDIR /work
ENTRYPOINT ["leap-audit"]
CMD ["--help"]
