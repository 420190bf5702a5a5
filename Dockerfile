# Both stages on the same version of Python, or compiled packages would not fit. With a digest (make image DIGEST=sha256:...)
# the base is the same for ever and the image the same to the byte; SECURITY.md says where a digest is found.
ARG TAG=3.13-slim
ARG DIGEST=
FROM python:${TAG}${DIGEST:+@$DIGEST} AS build
WORKDIR /build
COPY requirements.lock awscalls.py .ci/prune.py .ci/settle.py ./
# Files of packages only, each with a hash that the lock has: nothing is built here, so nobody's build runs here.
RUN pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes --only-binary :all: \
  --target /image/packages -r requirements.lock
RUN python prune.py /image/packages
COPY *.py /image/app/
ARG SOURCE_DATE_EPOCH
RUN python settle.py /image/packages /image/app

FROM python:${TAG}${DIGEST:+@$DIGEST}
LABEL org.opencontainers.image.version=0.2.0
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /image /
WORKDIR /app
# Writes no file, so that a read-only root will do. The number, not a name: runAsNonRoot can't judge a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "controller.py"]
