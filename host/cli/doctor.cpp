// `weft doctor`: what is installed, what is wrong, and how to mend it.

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/process/search_path.hpp>
#include <cstdio>
#include <thread>

#include "host/cli/commands.hpp"
#include "host/cli/output.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/inspection.hpp"
#include "host/plugins/refusal.hpp"
#include "weft/abi.h"

namespace weft::host {
namespace {

struct Finding {
  std::string what;
  std::string found;
  std::string remedy;  // empty: all is well
};

// Runs in a process of its own: the host itself stays free of LibTorch.
std::string in_child(const std::string& arguments) {
  const std::string command =
      fmt::format("'{}' {} 2>&1", std::filesystem::read_symlink("/proc/self/exe").string(), arguments);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "cannot start a child process";
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output.push_back(static_cast<char>(c));
  const int status = pclose(pipe);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return status == 0 ? output : "failed: " + output;
}

std::vector<Finding> examine(const Catalogue& catalogue) {
  std::vector<Finding> findings;
  findings.push_back(
      {"weft", fmt::format("{} (ABI {}.{}, {})", WEFT_VERSION, WEFT_ABI_MAJOR, WEFT_ABI_MINOR, WEFT_TORCH_TAG), ""});
  const std::string probed = in_child("probe-torch");  // and in a second line, which library multiplies matrices
  const std::string torch = probed.substr(0, probed.find('\n'));
  findings.push_back({"LibTorch", torch,
                      torch.rfind("failed", 0) == 0
                          ? "install it (Debian: libtorch-dev) or set LD_LIBRARY_PATH to the one Weft was built with"
                          : ""});
  if (torch != probed) {
    const std::string blas = probed.substr(torch.size() + 1);
    const bool reference = blas.find("/blas/libblas") != std::string::npos;
    findings.push_back({"matrix products", blas,
                        reference ? "the reference BLAS is some ten times slower than others; install Debian's package "
                                    "libopenblas0-openmp"
                                  : ""});
  }
  findings.push_back({"cores", std::to_string(std::thread::hardware_concurrency()), ""});
  for (const std::filesystem::path& folder : catalogue.folders()) {
    std::error_code unreadable;
    findings.push_back(
        {"plugin folder",
         fmt::format("{}{}", folder.string(), std::filesystem::exists(folder, unreadable) ? "" : " (absent)"), ""});
  }
  findings.push_back({"plugins", std::to_string(catalogue.entries().size()),
                      catalogue.entries().empty() ? "build or install some; `./dev build` builds Weft's own" : ""});
  for (const Catalogue::Broken& broken : catalogue.broken())
    findings.push_back({"broken manifest", broken.error, "mend or remove it"});
  for (const Catalogue::Entry& entry : catalogue.entries()) {
    const Manifest& manifest = entry.manifest;
    if (!entry.shadowed_by.empty()) {
      findings.push_back({"shadowed plugin",
                          fmt::format("{} by {}", manifest.file.string(), entry.shadowed_by.string()),
                          "remove one of them if this is not meant"});
    }
    try {
      LibraryFile library;
      inspect(manifest, library);
    } catch (const Refusal& refusal) {
      findings.push_back({"refused plugin", manifest.title(), refusal.what()});
    }
  }
  const bool dot = !boost::process::search_path("dot").empty();
  findings.push_back(
      {"Graphviz", dot ? "found" : "absent", dot ? "" : "pictures need it; install Debian's package graphviz"});
  return findings;
}

}  // namespace

int probe_torch_command() {
  const std::filesystem::path library = Installation::locate().libraries / "libweft_torch.so.1";
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = handle != nullptr ? dlsym(handle, "weft_libtorch_description") : nullptr;
  if (symbol == nullptr) {
    fmt::print(output(), "{}\n", dlerror());
    return failed;
  }
  fmt::print(output(), "{}\n", reinterpret_cast<const char* (*)()>(symbol)());
  Dl_info blas{};
  if (void* product = dlsym(handle, "sgemm_"); product != nullptr && dladdr(product, &blas) != 0)
    fmt::print(output(), "{}\n", std::filesystem::canonical(blas.dli_fname).string());
  return done;
}

int doctor_command(bool json, const PluginPath& plugin_path) {
  const Catalogue catalogue = Catalogue::discover(plugin_path);
  const std::vector<Finding> findings = examine(catalogue);
  const bool well =
      std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.remedy.empty(); });
  if (json) {
    Json list = Json::array();
    for (const Finding& finding : findings)
      list.push_back({{"what", finding.what}, {"found", finding.found}, {"remedy", finding.remedy}});
    fmt::print(output(), "{}\n", list.dump(1));
  } else {
    for (const Finding& finding : findings) {
      fmt::print(output(), "{} {:<22} {}\n", finding.remedy.empty() ? "ok  " : "!!  ", finding.what, finding.found);
      if (!finding.remedy.empty()) fmt::print(output(), "     -> {}\n", finding.remedy);
    }
  }
  return well ? done : failed;
}

}  // namespace weft::host
