// What the pixels of a PNG or JPEG file are, in exact values: docs/data.md.

#include <ATen/ATen.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "plugins/dataset/image_folder/encoded.hpp"
#include "tests/catch.hpp"
#include "weft/plugin.hpp"
#include "weft/testing/dataset_contract.hpp"

namespace {

namespace fs = std::filesystem;
using namespace encoded;
using Values = std::vector<int>;

// The first pixels of a row of 8 bits.
const Bytes some_png = png({.rows = bytes({7})});

// A data set whose test split is one file.
class Decoded {
 public:
  explicit Decoded(const Bytes& file, int channels = 3, int resolution = 1, const std::string& name = "file") {
    for (const char* path : {"train/a/0", "train/a/1", "train/b/0", "train/b/1"}) write(path, some_png);
    write("test/a/" + name, file);
    instance_.emplace(
        weft::testing::Plugin::open("dataset", "image_folder"),
        weft::Json{{"folder", folder_.string()}, {"resolution", resolution}, {"channels", channels}, {"validation", 1}},
        weft::testing::Surroundings{.study = {{"phase", "final"}}});
  }
  ~Decoded() { fs::remove_all(folder_); }

  // A pixel's channels.
  Values at(int y, int x) const {
    const at::Tensor pixel = image().select(2, x).select(1, y).to(at::kInt).contiguous();
    return {pixel.data_ptr<int>(), pixel.data_ptr<int>() + pixel.numel()};
  }
  at::Tensor image() const { return weft::testing::dataset_contract::dataset_of(*instance_).test().images[0]; }

 private:
  void write(const std::string& path, const Bytes& file) const {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path, std::ios::binary) << file;
  }
  fs::path folder_ = fs::temp_directory_path() / ("weft_decode_test_" + std::to_string(getpid()));
  std::optional<weft::testing::Instance> instance_;
};

// One pixel, in colour unless told otherwise.
Values pixel(const Bytes& file, int channels = 3) { return Decoded(file, channels).at(0, 0); }

Bytes solid(std::vector<int> components, const Bytes& after_start = {}) {
  return jpeg({.blocks = {std::move(components)}, .after_start = after_start});
}

// Four blocks: 10 20
//              30 40
Jpeg quadrants(const Bytes& after_start = {}) {
  return {.columns = 2, .blocks = {{10}, {20}, {30}, {40}}, .after_start = after_start};
}

Values corners(const Decoded& decoded) {
  Values values;
  for (const auto& [y, x] : {std::pair(0, 0), std::pair(0, 15), std::pair(15, 0), std::pair(15, 15)})
    values.push_back(decoded.at(y, x).front());
  return values;
}

}  // namespace

TEST_CASE("image_folder: a PNG of 16 bits has the values of its twin of 8 bits") {
  for (const int value : {0, 1, 64, 128, 200, 255}) {
    CHECK(pixel(png({.rows = bytes({value})})) == Values{value, value, value});
    CHECK(pixel(png({.depth = 16, .rows = big_endian(static_cast<std::uint32_t>(257 * value), 2)})) ==
          Values{value, value, value});
  }
  // Nearest: 64 * 257 + 128 is nearer to 64, + 129 to 65.
  CHECK(pixel(png({.depth = 16, .rows = big_endian(64 * 257 + 128, 2)}), 1) == Values{64});
  CHECK(pixel(png({.depth = 16, .rows = big_endian(64 * 257 + 129, 2)}), 1) == Values{65});
  const Bytes rgb = big_endian(10 * 257, 2) + big_endian(20 * 257, 2) + big_endian(30 * 257, 2);
  CHECK(pixel(png({.depth = 16, .colour = 2, .rows = rgb})) == Values{10, 20, 30});
  // A stated gamma changes nothing.
  CHECK(pixel(png({.rows = bytes({64}), .before = chunk("gAMA", big_endian(100000, 4))}), 1) == Values{64});
  CHECK(pixel(png({.depth = 16, .rows = big_endian(64 * 257, 2), .before = chunk("gAMA", big_endian(100000, 4))}), 1) ==
        Values{64});
}

TEST_CASE("image_folder: grey of few bits is spread over 0 to 255, palettes become their colours") {
  CHECK(pixel(png({.depth = 1, .rows = bytes({0x80})}), 1) == Values{255});
  CHECK(pixel(png({.depth = 2, .rows = bytes({0x40})}), 1) == Values{85});
  CHECK(pixel(png({.depth = 4, .rows = bytes({0x30})}), 1) == Values{51});
  const Bytes palette = chunk("PLTE", bytes({1, 2, 3, 200, 100, 50}));
  CHECK(pixel(png({.colour = 3, .rows = bytes({1}), .before = palette})) == Values{200, 100, 50});
  CHECK(pixel(png({.depth = 1, .colour = 3, .rows = bytes({0x80}), .before = palette})) == Values{200, 100, 50});
}

TEST_CASE("image_folder: grey is one luma of PNG and of JPEG") {
  // 0.299 R + 0.587 G + 0.114 B, rounded.
  CHECK(pixel(png({.colour = 2, .rows = bytes({255, 0, 0})}), 1) == Values{76});
  CHECK(pixel(png({.colour = 2, .rows = bytes({0, 255, 0})}), 1) == Values{150});
  CHECK(pixel(png({.colour = 2, .rows = bytes({0, 0, 255})}), 1) == Values{29});
  CHECK(pixel(png({.colour = 2, .rows = bytes({77, 77, 77})}), 1) == Values{77});
  // Red as JPEG has it, Y 76, Cb 85, Cr 255; and stored as RGB, by Adobe's marker.
  CHECK(pixel(solid({76, 85, 255}), 1) == Values{76});
  CHECK(pixel(solid({255, 0, 0}, adobe(0)), 1) == Values{76});
  const Values red = pixel(solid({76, 85, 255}));
  CHECK(red[0] >= 253);
  CHECK(red[1] <= 1);
  CHECK(red[2] <= 1);
  CHECK(pixel(solid({255, 0, 0}, adobe(0))) == Values{255, 0, 0});
  CHECK(pixel(solid({200})) == Values{200, 200, 200});
}

TEST_CASE("image_folder: what is transparent lies over white") {
  CHECK(pixel(png({.colour = 6, .rows = bytes({10, 20, 30, 0})})) == Values{255, 255, 255});
  CHECK(pixel(png({.colour = 6, .rows = bytes({10, 20, 30, 255})})) == Values{10, 20, 30});
  CHECK(pixel(png({.colour = 6, .rows = bytes({0, 100, 255, 51})})) == Values{204, 224, 255});  // a fifth
  CHECK(pixel(png({.colour = 4, .rows = bytes({0, 51})}), 1) == Values{204});
  CHECK(pixel(png({.depth = 16, .colour = 4, .rows = bytes({0, 0, 51, 51})}), 1) == Values{204});
  const Bytes palette = chunk("PLTE", bytes({0, 0, 0, 200, 100, 50})) + chunk("tRNS", bytes({51}));
  CHECK(pixel(png({.colour = 3, .rows = bytes({0}), .before = palette})) == Values{204, 204, 204});
  CHECK(pixel(png({.colour = 3, .rows = bytes({1}), .before = palette})) == Values{200, 100, 50});
  const Bytes key = chunk("tRNS", bytes({0, 7}));  // one grey that is transparent
  CHECK(pixel(png({.rows = bytes({7}), .before = key}), 1) == Values{255});
  CHECK(pixel(png({.rows = bytes({8}), .before = key}), 1) == Values{8});
}

TEST_CASE("image_folder: CMYK is taken as Adobe writes it, 255 for no ink") {
  CHECK(pixel(solid({200, 100, 50, 255}, adobe(0))) == Values{200, 100, 50});
  CHECK(pixel(solid({200, 100, 50, 128}, adobe(0))) == Values{100, 50, 25});
  CHECK(pixel(solid({200, 100, 50, 255})) == Values{200, 100, 50});
  // YCCK: cyan, magenta and yellow as the luma and chroma of their inverse.
  CHECK(pixel(solid({100, 128, 128, 255}, adobe(2))) == Values{155, 155, 155});
  CHECK(pixel(solid({200, 100, 50, 255}, adobe(0)), 1) == Values{124});
}

TEST_CASE("image_folder: pictures are turned upright as Exif says") {
  // How the quadrants 10 20 / 30 40 lie when what is stored as row 0 and column 0 is where Exif says it is.
  const std::array<Values, 9> upright = {Values{10, 20, 30, 40}, Values{10, 20, 30, 40}, Values{20, 10, 40, 30},
                                         Values{40, 30, 20, 10}, Values{30, 40, 10, 20}, Values{10, 30, 20, 40},
                                         Values{30, 10, 40, 20}, Values{40, 20, 30, 10}, Values{20, 40, 10, 30}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    INFO("orientation " << orientation);
    const Values& expected = upright[static_cast<std::size_t>(orientation)];
    CHECK(corners(Decoded(jpeg(quadrants(exif_segment(exif(orientation)))), 1, 16)) == expected);
    CHECK(corners(Decoded(jpeg(quadrants(exif_segment(exif(orientation, true)))), 1, 16)) == expected);
    const Bytes rows = bytes({10, 20, 30, 40});
    const Decoded from_png(png({.width = 2, .height = 2, .rows = rows, .before = chunk("eXIf", exif(orientation))}), 1,
                           2);
    CHECK(from_png.at(0, 0) == Values{expected[0]});
    CHECK(from_png.at(0, 1) == Values{expected[1]});
    CHECK(from_png.at(1, 0) == Values{expected[2]});
  }
  // Of no meaning, or cut off: as stored.
  for (const Bytes& tiff : {exif(9), exif(0), exif(6).substr(0, 15), Bytes("MM\0*\xff\xff\xff\xff", 8), Bytes("II")})
    CHECK(corners(Decoded(jpeg(quadrants(exif_segment(tiff))), 1, 16)) == upright[1]);
}

TEST_CASE("image_folder: a picture that is wider than high keeps its centre, however it is turned") {
  // Three blocks side by side; upright they stand, the first at the top.
  const Jpeg row{.columns = 3, .blocks = {{10}, {20}, {30}}, .after_start = exif_segment(exif(6))};
  CHECK(Decoded(jpeg(row), 1, 8).image().eq(20).all().item<bool>());
}

TEST_CASE("image_folder: the content decides, not the name") {
  CHECK(Decoded(some_png, 1, 1, "picture.jpg").at(0, 0) == Values{7});
  CHECK(Decoded(solid({200}), 1, 1, "picture.png").at(0, 0) == Values{200});
  CHECK(Decoded(solid({200}), 1, 1, "no extension").at(0, 0) == Values{200});
}

TEST_CASE("image_folder: bytes that do not belong to a JPEG are passed over") {
  const Bytes file = jpeg(quadrants());
  const Values expected = {10, 20, 30, 40};
  CHECK(corners(Decoded(file + "trailing bytes", 1, 16)) == expected);
  CHECK(corners(Decoded(jpeg(quadrants(exif_segment(exif(1)) + "extraneous")), 1, 16)) ==
        expected);  // between segments
  Jpeg endless = quadrants();
  endless.whole = false;
  CHECK(corners(Decoded(jpeg(endless), 1, 16)) == expected);
  Bytes before_end = file;
  before_end.insert(file.size() - 2, "extraneous");
  CHECK(corners(Decoded(before_end, 1, 16)) == expected);
}

TEST_CASE("image_folder: a truncated image is refused, not filled up with grey") {
  Jpeg image{.columns = 40, .blocks = std::vector<std::vector<int>>(400)};
  for (int i = 0; i < 400; ++i) image.blocks[static_cast<std::size_t>(i)] = {i % 2 == 0 ? 10 : 240};
  const Bytes file = jpeg(image);
  CHECK_THROWS_WITH(Decoded(file.substr(0, file.size() - 200), 1, 16),
                    ContainsSubstring("cannot be decoded (truncated)"));
  const Bytes whole = png({.width = 2, .height = 2, .rows = bytes({1, 2, 3, 4})});
  CHECK_THROWS_WITH(Decoded(whole.substr(0, whole.size() - 20), 1), ContainsSubstring("cannot be decoded (truncated)"));
}

TEST_CASE("image_folder: an image is scaled as LibTorch's antialiased bilinear interpolation does") {
  for (const auto& [side, resolution] : {std::pair(13, 5), std::pair(5, 13), std::pair(16, 1), std::pair(6, 6)}) {
    Bytes rows;
    for (int i = 0; i < side * side; ++i) rows += static_cast<char>((i * 89 + i * i) % 251);
    const Decoded decoded(png({.width = side, .height = side, .rows = rows}), 1, resolution);
    const at::Tensor original = at::from_blob(rows.data(), {1, 1, side, side}, at::kByte).to(at::kFloat);
    const at::Tensor expected = at::_upsample_bilinear2d_aa(original, {resolution, resolution}, false)[0];
    INFO(side << " to " << resolution);
    CHECK((decoded.image().to(at::kFloat) - expected).abs().max().item<double>() < 0.52);
  }
}
