#include "host/report/labels.hpp"

#include <algorithm>
#include <cctype>

namespace weft::host {

std::string readable(std::string_view name) {
  std::string text;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto digit = [&](std::size_t k) {
      return k < name.size() && std::isdigit(static_cast<unsigned char>(name[k])) != 0;
    };
    if (name[i] == '_') {
      text += ' ';
    } else if (name[i] == 'x' && i > 0 && ((digit(i - 1) && digit(i + 1)) || name.substr(i - 1, 3) == " x ")) {
      text += "×";
    } else {
      text += name[i];
    }
  }
  return text;
}

std::vector<std::string> components(const std::string& group) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < group.size();) {
    const std::size_t end = std::min(group.find('/', begin), group.size());
    parts.push_back(group.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::size_t running_number(std::string_view component) {
  const std::size_t space = component.rfind(' ');
  if (space == std::string_view::npos || space + 1 == component.size()) return std::string_view::npos;
  return component.find_first_not_of("0123456789-", space + 1) == std::string_view::npos ? space
                                                                                         : std::string_view::npos;
}

std::string without_number(std::string_view component) {
  return std::string(component.substr(0, running_number(component)));
}

std::string stride_label(const Node& node) {
  if (!node.attributes.contains("stride")) return "";
  const Json& stride = node.attributes.at("stride");
  if (!stride.is_array() || stride == Json::array({1, 1})) return "";
  return ", /" + (stride[0] == stride[1] ? stride[0].dump() : stride[0].dump() + "×" + stride[1].dump());
}

std::string label(const Architecture& architecture, NodeId id, bool channels) {
  const Node& node = architecture.node(id);
  const Attributes& a = node.attributes;
  const auto window = [&](const char* name) {
    const Json& kernel = a.at("kernel");
    return std::string(name) + " " + kernel[0].dump() + "×" + kernel[1].dump();
  };
  if (node.operation == "conv2d") {
    const std::int64_t groups = a.at("groups");
    const bool dilated = a.at("dilation") != Json::array({1, 1});
    const bool depthwise = groups > 1 && groups == architecture.shape(node.inputs[0]).channels;
    std::string text = window(depthwise ? "depthwise" : groups > 1 ? "grouped conv" : "conv");
    if (dilated) text = "dilated " + text;
    if (channels && !depthwise) text += ", " + a.at("channels").dump();
    return text + stride_label(node);
  }
  if (node.operation == "learned_group_conv")
    return "learned group conv 1×1" + (channels ? ", " + a.at("channels").dump() : "");
  if (node.operation == "max_pool") return window("max pool") + stride_label(node);
  if (node.operation == "avg_pool") return window("avg pool") + stride_label(node);
  if (node.operation.ends_with("linear")) return readable(node.operation) + ", " + a.at("features").dump();
  if (node.operation == "batch_norm") return "BN";
  if (node.operation == "activation")
    return a.at("function") == "relu" ? "ReLU" : readable(a.at("function").get<std::string>());
  if (node.operation == "activation_unit") return a.at("formula");
  if (node.operation.ends_with("dropout")) return readable(node.operation) + " " + a.at("probability").dump();
  if (node.operation == "recurrent" || node.operation == "embedding")
    return node.operation + ", " + std::to_string(node.shape.channels);
  if (node.operation == "choice") return "choice: " + readable(a.at("decision").get<std::string>());
  return readable(node.operation);
}

}  // namespace weft::host
