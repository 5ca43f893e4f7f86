# For those who have a container engine. "make images" makes the same images
# without one; both take the files from hack/images.
#
#   docker build --build-arg PROGRAM=manager --tag postrider/manager:v0.1.0 .
#   docker build --build-arg PROGRAM=dispatcher --tag postrider/dispatcher:v0.1.0 .
ARG PROGRAM=manager

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG PROGRAM
ARG VERSION=v0.1.0
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN go run ./hack/images --version $VERSION --platforms $TARGETOS/$TARGETARCH --rootfs /rootfs ./cmd/$PROGRAM

FROM scratch AS files
COPY --from=build /rootfs /
USER 65532:65532

FROM files AS manager
ENTRYPOINT ["/manager"]

FROM files AS dispatcher
ENTRYPOINT ["/dispatcher"]

FROM $PROGRAM
