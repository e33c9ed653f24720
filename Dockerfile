# docker build -t headwater . && docker run -p 9092:9092 -p 8080:8080 -v headwater:/data headwater
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release && cp target/release/headwater /headwater

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home /data headwater && install -d -o headwater /data
COPY --from=build /headwater /usr/local/bin/headwater
USER headwater
VOLUME /data
EXPOSE 9092 8080
ENV HEADWATER_DATA=/data/headwater HEADWATER_LISTEN=0.0.0.0:9092 HEADWATER_HTTP=0.0.0.0:8080 HEADWATER_ADVERTISE=localhost:9092
ENTRYPOINT ["headwater"]
CMD ["up"]
