#!/bin/sh
# Makes target/ from config.properties and the templates beside this script: ./gen-config.sh (simple / with-ca / certs)
cd "$(dirname "$0")" && exec "${KEELSON:-keelson}" gen-config "$@"
