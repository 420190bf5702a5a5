# The version of Python that the tests run on; both stages on the same, or compiled packages would not fit.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt .ci/prune.py ./
RUN pip install --no-cache-dir --no-compile --disable-pip-version-check --target /packages -r requirements.txt
RUN python prune.py /packages
COPY *.py ./
# Compiles what a start imports and nothing else: under a read-only root nobody could keep it later.
RUN PYTHONPATH=/packages python controller.py --help > /dev/null

FROM python:3.11-slim
LABEL org.opencontainers.image.version=0.2.0
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /packages /packages
WORKDIR /app
COPY *.py ./
# Writes no file, so that a read-only root will do. The number, not a name: runAsNonRoot can't judge a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "controller.py"]
