# Sourced by the scripts that compare with PyTorch: sets cache and python, and peer, which
# runs a script with the OpenBLAS and the settings that make Debian's PyTorch fastest here.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tacit-bench
mkdir -p "$cache"
python=/usr/bin/python3
$python -c 'import torch' 2>/dev/null || { echo "$0: apt-get install python3-torch" >&2; exit 3; }
# Debian's default BLAS takes kernels for older cores; the OpenMP build can be told.
if ! ls "$cache"/openblas/usr/lib/*/openblas-openmp >/dev/null 2>&1; then
  (cd "$cache" && apt-get download -qq libopenblas0-openmp && dpkg -x libopenblas0-openmp_*.deb openblas)
fi
blas=$(echo "$cache"/openblas/usr/lib/*/openblas-openmp)
core=Haswell capability=avx2
if grep -q avx512dq /proc/cpuinfo; then core=SkylakeX capability=avx512; fi
peer() { # peer THREADS SCRIPT ARGUMENT…
  local n=$1
  shift
  LD_LIBRARY_PATH="$blas" OPENBLAS_CORETYPE=$core ATEN_CPU_CAPABILITY=$capability OMP_NUM_THREADS="$n" \
    MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=268435456 \
    $python "$@"
}
