// PNG and JPEG files to pixels.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

// uint8, [height, width, channels]; channels is 1 (grey) or 3 (colour), converted to if need be. The file's name ends
// in .png, .jpg or .jpeg, in small letters or capitals. Throws weft::InvalidInput naming the file if it cannot be
// decoded.
at::Tensor decode_image(const std::filesystem::path& file, int channels);

// Whether the name ends as decode_image needs it.
bool is_image_file(const std::filesystem::path& file);
