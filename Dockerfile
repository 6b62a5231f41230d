# The image of the jobs: Python, the tool, and what it needs by hash. Build it with `make image BASE=…@sha256:…`, then
# set GITLAB_MESH_RUNNER_IMAGE to it (by digest, too) and GITLAB_MESH_PIP_SPEC to nothing.
#
# BASE is a slim image with Python 3.11 or newer, given by digest: what was built once can be built again.
ARG BASE
FROM ${BASE} AS build
# The index where it is another one; nothing of it stays in the image.
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST
COPY gitlab_mesh/constraints.txt /build/
RUN python3 -m venv /opt/gitlab-mesh \
 && /opt/gitlab-mesh/bin/pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: --requirement /build/constraints.txt
COPY dist/gitlab_mesh-*.whl /build/
RUN /opt/gitlab-mesh/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps /build/gitlab_mesh-*.whl \
 && /opt/gitlab-mesh/bin/pip check \
 && /opt/gitlab-mesh/bin/gitlab-mesh --version

FROM ${BASE}
COPY --from=build /opt/gitlab-mesh /opt/gitlab-mesh
ENV PATH=/opt/gitlab-mesh/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
# A number, so that Kubernetes' runAsNonRoot can tell; no entrypoint, because the runner starts a shell.
USER 65532:65532
WORKDIR /tmp
CMD ["gitlab-mesh", "--help"]
