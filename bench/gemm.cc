// Times oneDNN's single products and convolutions on one thread, in the shapes of the
// kernels' BenchmarkGemm and by its names: a line "name GFLOP/s" each. bench/gemm.sh
// builds it and prints the ratios. The best of blocks of about a millisecond counts; of a
// product the better of dnnl_sgemm and the matmul primitive; a convolution takes the
// memory formats that it likes best, whose making is not timed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dnnl.hpp>
#include <functional>
#include <vector>

using dnnl::memory;
using tag = memory::format_tag;
static const auto f32 = memory::data_type::f32;

// C (m,n) = A (m,k) · B (k,n); A's rows are lda apart, or where it is transposed its
// columns are; B's rows are ldb apart.
struct product {
  const char *name;
  bool transposed;
  memory::dim m, n, k, lda, ldb;
};
static const product products[] = {
    {"mlp-forward-32", false, 32, 512, 784, 784, 512},
    {"mlp-forward-16", false, 16, 512, 784, 784, 512},
    {"mlp-dw-32", true, 784, 512, 32, 784, 512},
    {"mlp-dw-128", true, 784, 512, 128, 784, 512},
    {"mlp-dx-32", false, 512, 32, 512, 512, 32},
    {"lstm-step-32", false, 32, 1024, 256, 80 * 256, 1024},
    {"lstm-rows", false, 2560, 1024, 256, 256, 1024},
    {"lstm-dw", true, 256, 1024, 2560, 256, 1024},
    {"lstm-dx-32", false, 32, 256, 1024, 80 * 1024, 256},
    {"gpt-384", false, 2048, 384, 128, 128, 384},
    {"gpt-128", false, 2048, 128, 512, 512, 128},
    {"gpt-dw-512", true, 128, 512, 2048, 128, 512},
    {"gpt-dw-128", true, 512, 128, 2048, 512, 128},
    {"head-qk", false, 32, 128, 32, 384, 128},
    {"head-pv", false, 32, 32, 128, 128, 384},
    {"tab", false, 32, 64, 30, 30, 64},
    {"square-1024", false, 1024, 1024, 1024, 1024, 1024},
    {"square-2048", false, 2048, 2048, 2048, 2048, 2048},
};

// A 3×3 convolution of images of size × size × in, as many as BenchmarkGemm has, to out
// channels; or the gradient of its weights.
struct convolution {
  const char *name;
  bool gradient;
  memory::dim size, in, out;
};
static const memory::dim images = 8;
static const convolution convolutions[] = {
    {"conv-64", false, 26, 32, 64},    {"conv-32", false, 18, 32, 32},  {"conv-16", false, 34, 16, 16},
    {"conv-8-64", false, 10, 64, 64}, {"conv-dw-64", true, 26, 32, 64}, {"conv-dw-16", true, 34, 16, 16},
};

// rate returns the best GFLOP/s of f, which makes so many operations.
static double rate(double flops, double seconds, const std::function<void()> &f) {
  using clock = std::chrono::steady_clock;
  auto since = [](clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); };
  const long per = std::max(1L, long(2e8 / flops));
  double best = 1e30;
  f();
  for (auto begin = clock::now(); since(begin) < seconds;) {
    auto start = clock::now();
    for (long i = 0; i < per; i++) f();
    best = std::min(best, since(start) / per);
  }
  return flops / best / 1e9;
}

// written returns memory of d that is written to: pages that nobody wrote to would all be
// one page of zeros.
static memory written(const memory::desc &d, const dnnl::engine &engine) {
  memory m(d, engine);
  auto *v = static_cast<float *>(m.get_data_handle());
  std::fill(v, v + d.get_size() / sizeof *v, 1.0f);
  return m;
}

int main(int argc, char **argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 0.3;
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  for (const auto &p : products) {
    std::vector<float> a((p.transposed ? p.k : p.m) * p.lda, 1), b(p.k * p.ldb, 1), c(p.m * p.n);
    const double flops = 2.0 * p.m * p.n * p.k;
    double best = rate(flops, seconds, [&] {
      dnnl_sgemm(p.transposed ? 'T' : 'N', 'N', p.m, p.n, p.k, 1, a.data(), p.lda, b.data(), p.ldb, 0, c.data(), p.n);
    });
    memory::desc da({p.m, p.k}, f32, p.transposed ? memory::dims{1, p.lda} : memory::dims{p.lda, 1});
    memory::desc db({p.k, p.n}, f32, memory::dims{p.ldb, 1}), dc({p.m, p.n}, f32, tag::ab);
    dnnl::matmul multiply(dnnl::matmul::primitive_desc(dnnl::matmul::desc(da, db, dc), engine));
    memory ma(da, engine, a.data()), mb(db, engine, b.data()), mc(dc, engine, c.data());
    best = std::max(best, rate(flops, seconds, [&] {
      multiply.execute(stream, {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}});
    }));
    printf("%s %.1f\n", p.name, best);
  }
  for (const auto &c : convolutions) {
    const memory::dim out = c.size - 2;
    memory::desc dx({images, c.in, c.size, c.size}, f32, tag::any), dw({c.out, c.in, 3, 3}, f32, tag::any), dy({images, c.out, out, out}, f32, tag::any);
    const double flops = 2.0 * images * out * out * c.out * 9 * c.in;
    const auto direct = dnnl::algorithm::convolution_direct;
    const memory::dims one{1, 1}, none{0, 0};
    dnnl::convolution_forward::primitive_desc forward({dnnl::prop_kind::forward_training, direct, dx, dw, dy, one, none, none}, engine);
    if (!c.gradient) {
      auto x = written(forward.src_desc(), engine), w = written(forward.weights_desc(), engine), y = written(forward.dst_desc(), engine);
      dnnl::convolution_forward run(forward);
      printf("%s %.1f\n", c.name, rate(flops, seconds, [&] {
        run.execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
      }));
      continue;
    }
    dnnl::convolution_backward_weights::primitive_desc backward({direct, dx, dw, dy, one, none, none}, engine, forward);
    auto x = written(backward.src_desc(), engine), w = written(backward.diff_weights_desc(), engine), y = written(backward.diff_dst_desc(), engine);
    dnnl::convolution_backward_weights run(backward);
    printf("%s %.1f\n", c.name, rate(flops, seconds, [&] {
      run.execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_WEIGHTS, w}, {DNNL_ARG_DIFF_DST, y}});
    }));
  }
}
