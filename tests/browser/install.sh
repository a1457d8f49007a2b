#!/bin/sh
# Gets what the tests of a report in a browser need: Playwright into the environment, and Debian's
# Chromium where this is root on such a system. Never fails: tests say what they miss.
bin=$1
"$bin/python" -m pip install --quiet --disable-pip-version-check -e '.[browser]' ||
    echo "test-browser: Playwright cannot be installed here" >&2
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test-browser: no Chromium, and it cannot be installed without root and apt-get" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
install="timeout 300 apt-get install -qq -y --no-install-recommends"
for package in chromium-headless-shell chromium; do
    $install "$package" fonts-dejavu-core >/dev/null 2>&1 && exit 0
done
timeout 120 apt-get update -qq >/dev/null 2>&1
for package in chromium-headless-shell chromium; do
    $install "$package" fonts-dejavu-core >/dev/null 2>&1 && exit 0
done
echo "test-browser: Chromium cannot be installed here" >&2
exit 0
