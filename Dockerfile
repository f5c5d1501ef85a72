# The environment of requirements.lock in a container. Build: docker build -t getsei .
# Run in a folder of your own:  docker run --rm -v "$PWD/results:/getsei/results" getsei snakemake
# On a cluster without Docker: apptainer.def
FROM python:3.11.13-slim-bookworm

# The compiled evaluator of the potential needs g++; git lets the provenance name the version.
# Their versions are those of the release: Debian keeps no older ones that could be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /getsei
COPY requirements.lock ./
# torch first and without its dependencies, as the Makefile does: the lock names every package.
RUN python -m pip install --no-cache-dir --upgrade pip==26.3 \
    && python -m pip install --no-cache-dir --no-deps "$(grep '^torch==' requirements.lock)" \
    && python -m pip install --no-cache-dir -r requirements.lock

# Nothing runs as root. The tables of a potential are kept beside it, so the files belong to the user.
RUN useradd --uid 1000 --create-home getsei && chown getsei /getsei
COPY --chown=getsei . .
USER 1000
ENV OMP_NUM_THREADS=1
CMD ["snakemake"]
