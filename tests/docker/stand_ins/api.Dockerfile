# Stands in for an application's image; the context is tests/docker.
ARG PARTMAN_IMAGE
FROM ${PARTMAN_IMAGE}
# Beside piccolo_conf.py: Python looks for modules in the folder of the script.
COPY api.py /srv/partman/
ENTRYPOINT ["python", "/srv/partman/api.py"]
