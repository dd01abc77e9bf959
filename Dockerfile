# Stage 1: into one folder everything that is installed: dependencies from pins with hashes, and the wheel that is built here.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /opt/bff && /opt/bff/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && pip wheel --no-cache-dir --no-build-isolation --no-deps -w dist . \
 && /opt/bff/bin/pip install --no-cache-dir --no-deps dist/*.whl

# Stage 2: that folder and nothing to build with.
FROM python:3.11-slim
COPY --from=build /opt/bff /opt/bff
ENV PATH=/opt/bff/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that runAsNonRoot can be judged without /etc/passwd.
USER 10001:10001
EXPOSE 8080
# The management listener is on loopback inside the container: ask it from there.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9090/livez', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["bff"]
CMD ["serve", "-c", "/etc/bff/bff.yaml"]
