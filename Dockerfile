# The gateway in an image that has nothing else: no shell, no package manager, no root.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin tollgate \
    && cp target/release/tollgate /tollgate \
    && mkdir /data

# glibc and libgcc, certificates of the usual authorities, a user without rights.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tollgate /usr/local/bin/tollgate
COPY --from=build --chown=nonroot:nonroot /data /data
ENV TOLLGATE_DATA_DIR=/data
WORKDIR /data
VOLUME /data
EXPOSE 4000
USER nonroot
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["--listen", "0.0.0.0:4000"]
