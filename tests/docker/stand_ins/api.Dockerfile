# Stands in for an application's image; the context is tests/docker.
ARG PARTMAN_IMAGE
FROM ${PARTMAN_IMAGE}
COPY api.py /opt/api.py
ENTRYPOINT ["python", "/opt/api.py"]
