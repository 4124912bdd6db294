// SPDX-License-Identifier: Apache-2.0
// speckv_codec.cpp - the program speckv-codec: encode, decode or measure pages from stdin.
//
// For people who want to see what a codec does to their KV, and for checking other implementations
// (--golden runs the specification itself). Talks to no daemon. Exit status: 0, 1 for bad input or
// a refused page, 2 for bad usage.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "codec/chanq.hpp"
#include "codec/golden.hpp"
#include "codec/half.hpp"
#include "codec/paper.hpp"

namespace {

using namespace speckv::codec;

constexpr char usage[] =
    "usage: speckv-codec encode|decode --codec NAME [options] < in > out\n"
    "       speckv-codec measure [--codec NAME] [options] < pages\n"
    "       speckv-codec list\n"
    "\n"
    "Pages are TOKENS x HEAD_DIM values of 16 bits, token by token, one page after the other.\n"
    "  --head-dim N      channels of a head (64)\n"
    "  --tokens N        tokens of a page: 16, 32 or 64 (32)\n"
    "  --dtype D         fp16 or bf16 (fp16)\n"
    "  --rope R          none, interleaved or half: what chanq undoes (none)\n"
    "  --rope-dims N     rotated channels (all)\n"
    "  --theta X         RoPE base (10000)\n"
    "  --table FILE      chanq's calibration table, with --layer N and --head N (0)\n"
    "  --golden          the specification's scalar code instead of SIMD\n";

struct Options {
  std::string verb, codec, table;
  speckv_layout layout{};
  uint32_t layer = 0, head = 0;
  bool golden = false;
};

[[noreturn]] void stop(int status, const std::string& why) {
  std::fprintf(stderr, "speckv-codec: %s\n", why.c_str());
  if (status == 2) std::fputs(usage, stderr);
  std::exit(status);
}

uint32_t number(const std::string& option, const std::string& text, uint32_t most) {
  char* end = nullptr;
  const unsigned long value = std::strtoul(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value > most) {
    stop(2, option + " takes a number up to " + std::to_string(most) + ", not '" + text + "'");
  }
  return static_cast<uint32_t>(value);
}

uint32_t one_of(const std::string& option, const std::string& text,
                std::initializer_list<std::pair<const char*, uint32_t>> known) {
  std::string names;
  for (const auto& [name, value] : known) {
    if (text == name) return value;
    names += std::string(names.empty() ? "" : ", ") + name;
  }
  stop(2, option + " takes one of " + names + ", not '" + text + "'");
}

void set_option(Options& o, const std::string& option, const std::string& value) {
  if (option == "--codec") o.codec = value;
  else if (option == "--table") o.table = value;
  else if (option == "--head-dim") o.layout.head_dim = number(option, value, SPECKV_HEAD_DIM_MAX);
  else if (option == "--tokens") o.layout.page_tokens = number(option, value, 64);
  else if (option == "--rope-dims") o.layout.rope_dims = number(option, value, SPECKV_HEAD_DIM_MAX);
  else if (option == "--layer") o.layer = number(option, value, SPECKV_LAYERS_MAX - 1);
  else if (option == "--head") o.head = number(option, value, SPECKV_HEADS_MAX - 1);
  else if (option == "--theta") o.layout.rope_theta[0] = std::strtof(value.c_str(), nullptr);
  else if (option == "--dtype") {
    o.layout.dtype =
        one_of(option, value, {{"fp16", SPECKV_DTYPE_F16}, {"bf16", SPECKV_DTYPE_BF16}});
  } else if (option == "--rope") {
    o.layout.rope = one_of(option, value,
                           {{"none", SPECKV_ROPE_NONE},
                            {"interleaved", SPECKV_ROPE_INTERLEAVED},
                            {"half", SPECKV_ROPE_HALF}});
  } else {
    stop(2, "no option '" + option + "'");
  }
}

Options parse_options(int argc, char** argv) {
  Options o;
  o.layout.dtype = SPECKV_DTYPE_F16;
  o.layout.head_dim = 64;
  o.layout.page_tokens = 32;
  o.layout.layers = o.layout.kv_heads = 1;
  o.layout.rope_theta[0] = 10000.0F;
  if (argc < 2) stop(2, "say what to do");
  o.verb = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--golden") {
      o.golden = true;
    } else {
      if (i + 1 == argc) stop(2, option + " needs a value");
      set_option(o, option, argv[++i]);
    }
  }
  return o;
}

std::vector<std::byte> read_all(std::FILE* file) {
  std::vector<std::byte> bytes;
  for (;;) {
    const size_t had = bytes.size();
    bytes.resize(had + (1 << 20));
    const size_t got = std::fread(bytes.data() + had, 1, 1 << 20, file);
    bytes.resize(had + got);
    if (got == 0) break;
  }
  if (std::ferror(file) != 0) stop(1, "reading failed");
  return bytes;
}

// The tables of chanq: the layout's pairing, widths from a file where one is named.
std::unique_ptr<ChanTables> load_tables(Options& o) {
  std::string error;
  ChanWeights weights;
  if (!o.table.empty()) {
    std::FILE* file = std::fopen(o.table.c_str(), "rb");
    if (file == nullptr) stop(1, "cannot open the table " + o.table);
    const std::vector<std::byte> bytes = read_all(file);
    std::fclose(file);
    if (!parse_chan_weights(bytes, &weights, &error)) stop(1, o.table + ": " + error);
    o.layout.layers = weights.layers;
    o.layout.kv_heads = weights.kv_heads;
    std::copy(std::begin(weights.weights_digest), std::end(weights.weights_digest),
              o.layout.weights_digest);
    if (o.layer >= weights.layers || o.head >= weights.kv_heads) {
      stop(1, o.table + " has no layer " + std::to_string(o.layer) + ", head " +
                  std::to_string(o.head));
    }
  }
  auto tables = ChanTables::make(o.layout, o.table.empty() ? nullptr : &weights, &error);
  if (tables == nullptr) stop(1, error);
  return tables;
}

const char* reason(Refusal refusal) {
  switch (refusal) {
    case Refusal::none:
      return "accepted";
    case Refusal::not_finite:
      return "holds NaN or infinity";
    case Refusal::out_of_range:
      return "holds values out of the codec's range";
    case Refusal::unsupported_shape:
      return "has a shape that the codec does not take";
    case Refusal::needs_table:
      return "needs another table";
    case Refusal::no_room:
      return "holds more small values than the codec has room for";
    case Refusal::token_bound:
      return "has a token that would lose more than the preset promises";
  }
  return "refused";
}

// One codec on pages of one shape.
class Subject {
 public:
  Subject(CodecId id, Options& options) : id_(id), golden_(options.golden) {
    const speckv_layout& layout = options.layout;
    shape_ = {static_cast<uint16_t>(layout.page_tokens), static_cast<uint16_t>(layout.head_dim),
              static_cast<uint8_t>(layout.dtype), Kind::k};
    if (bytes() == 0) return;
    if (is_chanq(id)) tables_ = load_tables(options);
    if (tables_ != nullptr) table_ = &tables_->at(options.layer, options.head);
  }
  size_t bytes() const { return encoded_bytes(id_, shape_, table_); }
  const PageShape& shape() const { return shape_; }
  std::string_view codec() const { return name(id_); }
  CodecId id() const { return id_; }
  ptrdiff_t row_bytes() const { return ptrdiff_t{2} * shape_.head_dim; }
  Refusal run_encode(const std::byte* page, std::span<std::byte> out) const {
    const ConstView in{page, row_bytes(), 2};
    return golden_ ? golden::encode(id_, shape_, in, out, table_)
                   : encode(id_, shape_, in, out, table_);
  }
  void run_decode(std::span<const std::byte> in, std::byte* page) const {
    const View out{page, row_bytes(), 2};
    if (golden_) golden::decode(id_, shape_, in, out, table_);
    else decode(id_, shape_, in, out, table_);
  }

 private:
  CodecId id_;
  bool golden_;
  PageShape shape_;
  std::unique_ptr<ChanTables> tables_;
  const ChanTable* table_ = nullptr;
};

Subject named_subject(Options& options) {
  CodecId id{};
  if (!parse(options.codec, &id)) {
    stop(2, "no codec '" + options.codec + "'; speckv-codec list names them");
  }
  Subject subject(id, options);
  if (subject.bytes() == 0) {
    stop(1, options.codec + " does not take pages of " +
                std::to_string(options.layout.page_tokens) + " x " +
                std::to_string(options.layout.head_dim) + "; docs/codec.md says which");
  }
  return subject;
}

size_t whole_pages(const std::vector<std::byte>& in, size_t page_bytes) {
  if (in.size() % page_bytes != 0 || in.empty()) {
    stop(1, "stdin has " + std::to_string(in.size()) +
                " bytes, which is no whole number of pages of " + std::to_string(page_bytes));
  }
  return in.size() / page_bytes;
}

void write_all(const std::vector<std::byte>& bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() ||
      std::fflush(stdout) != 0) {
    stop(1, "writing failed");
  }
}

void encode_stream(Options& options) {
  const Subject subject = named_subject(options);
  const auto in = read_all(stdin);
  const size_t raw = subject.shape().raw_bytes(), stored = subject.bytes();
  const size_t pages = whole_pages(in, raw);
  std::vector<std::byte> out(pages * stored);
  for (size_t i = 0; i < pages; ++i) {
    const Refusal refusal =
        subject.run_encode(&in[i * raw], std::span(out).subspan(i * stored, stored));
    if (refusal != Refusal::none) stop(1, "page " + std::to_string(i) + " " + reason(refusal));
  }
  write_all(out);
}

void decode_stream(Options& options) {
  const Subject subject = named_subject(options);
  const auto in = read_all(stdin);
  const size_t raw = subject.shape().raw_bytes(), stored = subject.bytes();
  const size_t pages = whole_pages(in, stored);
  std::vector<std::byte> out(pages * raw);
  for (size_t i = 0; i < pages; ++i) {
    subject.run_decode(std::span(in).subspan(i * stored, stored), &out[i * raw]);
  }
  write_all(out);
}

double value_at(const std::byte* bytes, bool bf16) {
  uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  const Unpacked x = unpack(bits, bf16);
  return (x.negative ? -1 : 1) * std::ldexp(double(x.mantissa), x.exponent);
}

struct Measured {
  size_t refused = 0, run_bytes = 0;
  double signal = 0, noise = 0, largest = 0, encode_seconds = 0, decode_seconds = 0;
};

Measured measure_pages(const Subject& subject, const std::vector<std::byte>& in, size_t pages) {
  using Clock = std::chrono::steady_clock;
  const size_t raw = subject.shape().raw_bytes();
  const bool bf16 = is_bf16(subject.shape().dtype);
  std::vector<std::byte> stored(subject.bytes()), back(raw);
  Measured m;
  for (size_t i = 0; i < pages; ++i) {
    const std::byte* page = &in[i * raw];
    const auto start = Clock::now();
    if (subject.run_encode(page, stored) != Refusal::none) {
      ++m.refused;
      continue;
    }
    const auto middle = Clock::now();
    subject.run_decode(stored, back.data());
    m.encode_seconds += std::chrono::duration<double>(middle - start).count();
    m.decode_seconds += std::chrono::duration<double>(Clock::now() - middle).count();
    if (subject.id() == CodecId::paper) {
      m.run_bytes += paper_run_bytes(subject.shape(), {page, subject.row_bytes(), 2});
    }
    for (size_t at = 0; at < raw; at += 2) {
      const double x = value_at(page + at, bf16), error = std::abs(x - value_at(&back[at], bf16));
      m.signal += x * x;
      m.noise += error * error;
      m.largest = std::max(m.largest, error);
    }
  }
  return m;
}

void print_measured(const Subject& subject, const std::vector<std::byte>& in) {
  const size_t raw = subject.shape().raw_bytes(), pages = whole_pages(in, raw);
  const Measured m = measure_pages(subject, in, pages);
  const double bytes = double((pages - m.refused) * raw);
  if (m.refused == pages) {
    std::printf("%-9s all %zu pages refused\n", std::string(subject.codec()).c_str(), pages);
    return;
  }
  std::printf("%-9s %7zu %6.3f %8zu %9.2f %12.4g %8.2f %8.2f\n",
              std::string(subject.codec()).c_str(), subject.bytes(),
              double(raw) / double(subject.bytes()), m.refused,
              m.noise > 0 ? 10 * std::log10(m.signal / m.noise) : INFINITY, m.largest,
              bytes / m.encode_seconds / 1e9, bytes / m.decode_seconds / 1e9);
  if (m.run_bytes > 0) {
    std::printf("          run lengths alone: %.3f\n", bytes / double(m.run_bytes));
  }
}

void measure(Options& options) {
  const auto in = read_all(stdin);
  std::printf("%s, pages of %u x %u\n", std::string(isa()).c_str(), options.layout.page_tokens,
              options.layout.head_dim);
  std::puts("codec       bytes  ratio  refused   SNR, dB   max. error enc GB/s dec GB/s");
  for (int i = 0; i < 256; ++i) {
    const auto id = static_cast<CodecId>(i);
    if (name(id) == "unknown" || (!options.codec.empty() && name(id) != options.codec)) continue;
    const Subject subject(id, options);
    if (subject.bytes() != 0) print_measured(subject, in);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse_options(argc, argv);
  if (options.verb == "encode") encode_stream(options);
  else if (options.verb == "decode") decode_stream(options);
  else if (options.verb == "measure") measure(options);
  else if (options.verb == "--help" || options.verb == "help") std::fputs(usage, stdout);
  else if (options.verb == "list") {
    for (int i = 0; i < 256; ++i) {
      const std::string_view text = name(static_cast<CodecId>(i));
      if (text != "unknown") std::printf("%.*s\n", int(text.size()), text.data());
    }
  } else stop(2, "cannot '" + options.verb + "'");
  return 0;
}
