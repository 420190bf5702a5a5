# The version of Python that the tests run on.
FROM python:3.11-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY aws.py kube.py reconcile.py controller.py ./
# Writes no file, so that a read-only root will do. The number, not a name: runAsNonRoot can't judge a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "controller.py"]
