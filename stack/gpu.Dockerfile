# Moodreel's image with another onnxruntime, for a GPU; stack/nvidia.yml and stack/intel.yml build it.
# The plain image comes first: docker compose -f docker-compose.jellyfin-ai.yml build moodreel
ARG IMAGE=moodreel:local
FROM ${IMAGE}
USER root

# Packages of Debian 12: 13 has no Intel driver.
ARG OLD_PACKAGES=""
RUN if [ -n "$OLD_PACKAGES" ]; then \
      sed 's/trixie/bookworm/g; s/ bookworm-updates//' /etc/apt/sources.list.d/debian.sources \
        > /etc/apt/sources.list.d/bookworm.sources \
   && apt-get update \
   && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $OLD_PACKAGES \
   && rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/bookworm.sources; \
    fi

# Only one onnxruntime may be installed: all of them hold the same module.
ARG RUNTIME
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-pip \
 && pip="/usr/bin/python3 -m pip --python /opt/moodreel/bin/python" \
 && $pip uninstall --yes onnxruntime \
 && $pip install --no-cache-dir --no-compile --only-binary :all: "$RUNTIME" \
 && apt-get purge -y --auto-remove python3-pip \
 && rm -rf /var/lib/apt/lists/*
USER moodreel
