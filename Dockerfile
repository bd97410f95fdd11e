# One image for every service. The argument says which: `docker run IMAGE orderer --help`.

FROM python:3.13-slim-trixie AS build
RUN python -m venv --without-pip /venv
COPY requirements/runtime.txt /tmp/
RUN python -m pip --python /venv/bin/python install --no-cache-dir --no-compile \
    --only-binary :all: --require-hashes --requirement /tmp/runtime.txt
WORKDIR /venv/lib/python3.13/site-packages
COPY chassis chassis
COPY relay relay
COPY broadcast broadcast
COPY ingestor ingestor
COPY orderer orderer
COPY publisher publisher
COPY simulator simulator
COPY chat chat
COPY wisdom wisdom
COPY viewer viewer
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv

FROM python:3.13-slim-trixie
RUN find / -xdev \( -path '*/bin/pip*' -o -path '*-packages/pip*' -o -path '*/ensurepip' \) -prune \
    -exec rm -rf {} +
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONSAFEPATH=1
# Nothing here has to become somebody else.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} +
# The base image leaves the standard library uncompiled, and a read-only container could not make
# up for it: each start and each health check would compile again. What is used is compiled here.
RUN for service in ingestor orderer publisher simulator chat wisdom viewer; do \
        python -m $service --help >/dev/null || exit 1; \
    done
ENV PYTHONDONTWRITEBYTECODE=1
# A new volume on it belongs to the user: the chat's messages.json lies there.
RUN install -d -o 10001 -g 10001 /data
LABEL org.opencontainers.image.title="Seriatim" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT"
USER 10001:10001
WORKDIR /
EXPOSE 9100
ENTRYPOINT ["python", "-m"]
CMD ["orderer", "--help"]
