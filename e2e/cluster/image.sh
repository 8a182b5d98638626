#!/usr/bin/env bash
# image.sh REF ROOTFS-DIR CONFIG-JSON   image of one layer into the running cluster
# image.sh TARBALL                      an OCI or docker-save tarball
set -euo pipefail
. "$(dirname "$0")/lib.sh"
if [ $# = 1 ]; then each_node ctr images import "$1"; else mkimage "$1" "$2" "$3"; fi
