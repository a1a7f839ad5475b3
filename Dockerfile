# The image of Lockgate: the one binary, `lockgate`, on a base with glibc and certificates and without a shell or a package
# manager. It runs as nobody in particular (65532), writes to /var/lib/lockgate only and needs no capability.
# docs/packaging.md says how to run it, and how to build it with both images pinned by digest, as for a release.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS toolchain
# The toolchain that the image has: rust-toolchain.toml asks for more, which only the guests and the checks need.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_TERM_COLOR=never \
    SOURCE_DATE_EPOCH=0
WORKDIR /src

# What lists all that is compiled into the binary.
FROM toolchain AS lister
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --locked --root /opt/lister cargo-cyclonedx@0.5.9

FROM toolchain AS build
COPY . .
# Without debug information, with the names of functions: a panic's backtrace stays readable.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    cargo build --release --locked --package lockgate --bin lockgate
COPY --from=lister /opt/lister/bin/cargo-cyclonedx /usr/local/bin/cargo-cyclonedx
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo cyclonedx --manifest-path host/cli/Cargo.toml --format json --spec-version 1.5 \
        --target x86_64-unknown-linux-gnu --no-build-deps --override-filename lockgate.cdx
# The folder of what is kept, closed to others. A new volume takes owner and mode from it.
RUN mkdir /out /out/state && mkdir -m 0700 /out/state/lockgate

# `--target sbom` gives the list alone.
FROM scratch AS sbom
COPY --from=build /src/host/cli/lockgate.cdx.json /

FROM ${BASE_IMAGE} AS lockgate
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lockgate" \
      org.opencontainers.image.description="Stream processing for tenants who do not trust each other" \
      org.opencontainers.image.source="https://github.com/lockgate/lockgate" \
      org.opencontainers.image.documentation="https://github.com/lockgate/lockgate/blob/main/docs/packaging.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/target/release/lockgate /usr/bin/lockgate
COPY --from=build /src/host/cli/lockgate.cdx.json /usr/share/sbom/lockgate.cdx.json
COPY LICENSE /usr/share/doc/lockgate/LICENSE
COPY --from=build --chown=65532:65532 /out/state/ /var/lib/
ENV LOCKGATE_HOME=/var/lib/lockgate/home
USER 65532:65532
WORKDIR /var/lib/lockgate
VOLUME ["/var/lib/lockgate"]
EXPOSE 8443
STOPSIGNAL SIGTERM
# Of a JobManager, as the command below starts one; compose.yaml has that of a TaskManager.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["/usr/bin/lockgate", "health", "--config", "/etc/lockgate/jobmanager.toml"]
ENTRYPOINT ["/usr/bin/lockgate"]
CMD ["jobmanager", "--config", "/etc/lockgate/jobmanager.toml"]
