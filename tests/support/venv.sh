# For scripts of tests, to be sourced: a Python environment with what a requirements file names, made anew when that changes.
#
#   make_venv FOLDER REQUIREMENTS [PYTHON]
make_venv() {
    cmp -s "$2" "$1/requirements.txt" && return
    "${3:-python3}" -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
    cp "$2" "$1/requirements.txt"
}
