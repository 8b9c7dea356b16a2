# Scorekeeper's image: one for the API, the workers and the migrations. No compiler, no root.
# The first stage has a compiler: two of the packages have no wheel for arm64.
FROM python:3.12 AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/scorekeeper
COPY requirements/runtime.txt requirements/
RUN /opt/scorekeeper/bin/pip install --require-hashes -r requirements/runtime.txt
COPY . .
RUN /opt/scorekeeper/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN groupadd --gid 10001 scorekeeper \
 && useradd --no-log-init --uid 10001 --gid 10001 --home-dir /var/lib/scorekeeper --create-home scorekeeper
COPY --from=build /opt/scorekeeper /opt/scorekeeper
ENV PATH=/opt/scorekeeper/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SCOREKEEPER_LOG_FORMAT=json \
    SCOREKEEPER_DATA_DIR=/var/lib/scorekeeper/data
USER 10001
WORKDIR /var/lib/scorekeeper
EXPOSE 8000
ENTRYPOINT ["scorekeeper"]
CMD ["api", "--host", "0.0.0.0"]
