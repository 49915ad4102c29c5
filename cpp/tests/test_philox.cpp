// Random numbers: published Philox vectors, independence of chunking and level, moments of the
// normals.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "lazygram/philox.hpp"

using namespace lazygram;

using Block = std::array<std::uint32_t, 4>;

// Known-answer vectors of philox4x32 with 10 rounds, as published with Random123 (kat_vectors).
TEST(published_vectors) {
  CHECK(
      (philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t f = 0xffffffff;
  CHECK(
      (philox4x32({f, f, f, f}, {f, f}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The kernel against the definition: one block by the reference generator and Box-Muller from libm.
TEST(normals_follow_their_definition) {
  check::at_every_level([] {
    const std::uint64_t seed = 0x0123456789abcdefu;
    const RandomNetwork network{seed, std::int64_t{1} << 40, 10, false};
    for (std::int64_t row : {std::int64_t{0}, std::int64_t{77}, (std::int64_t{1} << 33) + 5}) {
      double w[12];
      network.weights(row, 1, w, 12);
      for (std::uint32_t b = 0; b < 3; ++b) {
        const Block x = philox4x32(
            {b, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32), 0},
            {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
        for (int pair = 0; pair < 2; ++pair) {
          const std::uint64_t word = std::uint64_t{x[2 * pair + 1]} << 32 | x[2 * pair];
          const double u = (static_cast<double>(word >> 28) + 0.5) / 68719476736.0;
          const double turn =
              ((word >> 26) & 3) + (static_cast<double>(word & 0x3ffffff) + 0.5) / 67108864.0 - 0.5;
          const double radius = std::sqrt(-2 * std::log(u));
          CHECK(std::abs(w[4 * b + 2 * pair] - radius * std::cos(turn * M_PI / 2)) < 4e-15);
          CHECK(std::abs(w[4 * b + 2 * pair + 1] - radius * std::sin(turn * M_PI / 2)) < 4e-15);
        }
      }
    }
  });
}

TEST(any_chunk_gives_the_same_numbers) {
  for (bool antisymmetric : {false, true}) {
    for (std::int64_t dim : {1, 3, 4, 7, 64, 130}) {
      const RandomNetwork network{7, 600, dim, antisymmetric};
      isa_force("baseline");
      std::vector<double> all(600 * dim), sign(600);
      network.weights(0, 600, all.data(), dim);
      network.signs(0, 600, sign.data());
      check::at_every_level([&] {
        for (std::int64_t begin : {0, 1, 299, 300, 599}) {
          for (std::int64_t count : {1, 2, 65, 301}) {
            if (begin + count > 600) continue;
            const std::int64_t stride = dim + 5;
            std::vector<double> part(count * stride, 99.0), s(count);
            std::vector<float> single(count * stride, 99.0f);
            network.weights(begin, count, part.data(), stride);
            network.weights(begin, count, single.data(), stride);
            network.signs(begin, count, s.data());
            for (std::int64_t r = 0; r < count; ++r) {
              CHECK(s[r] == sign[begin + r]);
              for (std::int64_t k = 0; k < dim; ++k) {
                CHECK(part[r * stride + k] == all[(begin + r) * dim + k]);
                CHECK(single[r * stride + k] == static_cast<float>(part[r * stride + k]));
              }
              for (std::int64_t k = round_up(dim, 4); k < stride; ++k)
                CHECK(part[r * stride + k] == 99.0);
            }
          }
        }
      });
      if (antisymmetric) {
        for (std::int64_t r = 0; r < 300; ++r) {
          CHECK(sign[r] == -sign[r + 300]);
          CHECK(std::memcmp(&all[r * dim], &all[(r + 300) * dim], dim * sizeof(double)) == 0);
        }
      }
    }
  }
}

TEST(moments_are_those_of_a_normal) {
  const std::int64_t rows = 40000, dim = 25;
  const RandomNetwork network{2024, rows, dim, false};
  std::vector<double> w(rows * dim), a(rows);
  network.weights(0, rows, w.data(), dim);
  network.signs(0, rows, a.data());
  const double n = static_cast<double>(w.size());
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, cross = 0, largest = 0;
  for (std::size_t k = 0; k < w.size(); ++k) {
    m1 += w[k];
    m2 += w[k] * w[k];
    m3 += w[k] * w[k] * w[k];
    m4 += w[k] * w[k] * w[k] * w[k];
    if (k) cross += w[k] * w[k - 1];
    largest = std::max(largest, std::abs(w[k]));
  }
  // Five standard errors: variances of x, x^2, x^3, x^4 and x y are 1, 2, 15, 96, 1.
  CHECK(std::abs(m1) < 5 * std::sqrt(n));
  CHECK(std::abs(m2 - n) < 5 * std::sqrt(2 * n));
  CHECK(std::abs(m3) < 5 * std::sqrt(15 * n));
  CHECK(std::abs(m4 - 3 * n) < 5 * std::sqrt(96 * n));
  CHECK(std::abs(cross) < 5 * std::sqrt(n));
  CHECK(largest > 4.4 && largest < 7.2);
  double sum = 0;
  for (double s : a) {
    CHECK(s == 1.0 || s == -1.0);
    sum += s;
  }
  CHECK(std::abs(sum) < 5 * std::sqrt(static_cast<double>(rows)));
}

int main() { return check::run(); }
