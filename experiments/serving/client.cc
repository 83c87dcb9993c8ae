// Compresses and decompresses a photograph with the codec's SavedModel; no Python is involved.
//
// client OP_LIBRARY SAVED_MODEL RUNS IN.png OUT.tfci BACK.png
//
// Prints the median seconds of RUNS calls of each signature, after one that does not count.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/c/c_api.h"
#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/status.h"
#include "tensorflow/core/platform/tstring.h"

namespace {

using ::tensorflow::SavedModelBundle;
using ::tensorflow::Status;
using ::tensorflow::Tensor;

constexpr char kServeTag[] = "serve";  // Of what SavedModels hold for serving.

Status Read(const std::string& path, std::string* content) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return tensorflow::errors::NotFound(path, ": cannot be read");
  content->assign(std::istreambuf_iterator<char>(file), {});
  return tensorflow::OkStatus();
}

Status Write(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), content.size());
  file.close();
  if (!file) return tensorflow::errors::Unavailable(path, ": cannot be written");
  return tensorflow::OkStatus();
}

// Registers the ops of a shared library with this process's TensorFlow.
Status LoadOps(const std::string& path) {
  TF_Status* status = TF_NewStatus();
  TF_Library* library = TF_LoadLibrary(path.c_str(), status);
  Status result;
  if (TF_GetCode(status) != TF_OK) {
    result = tensorflow::errors::NotFound(TF_Message(status));
  } else {
    TF_DeleteLibraryHandle(library);  // The library stays loaded.
  }
  TF_DeleteStatus(status);
  return result;
}

// Runs a signature that turns one batch of strings into another on a batch of one.
Status Run(const SavedModelBundle& model, const std::string& name, const std::string& input,
           std::string* output) {
  const auto& signatures = model.GetSignatures();
  const auto found = signatures.find(name);
  if (found == signatures.end()) return tensorflow::errors::NotFound("no signature ", name);
  const auto& signature = found->second;
  Tensor batch(tensorflow::DT_STRING, {1});
  batch.flat<tensorflow::tstring>()(0) = input;
  std::vector<Tensor> results;
  TF_RETURN_IF_ERROR(
      model.GetSession()->Run({{signature.inputs().begin()->second.name(), batch}},
                              {signature.outputs().begin()->second.name()}, {}, &results));
  *output = std::string(results[0].flat<tensorflow::tstring>()(0));
  return tensorflow::OkStatus();
}

Status TimedRun(const SavedModelBundle& model, const std::string& name, int runs,
                const std::string& input, std::string* output) {
  std::vector<double> seconds;
  for (int i = 0; i <= runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    TF_RETURN_IF_ERROR(Run(model, name, input, output));
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(passed.count());
  }
  std::sort(seconds.begin(), seconds.end());
  std::cout << name << " " << seconds[runs / 2] << std::endl;
  return tensorflow::OkStatus();
}

Status Main(const std::vector<std::string>& arguments) {
  if (arguments.size() != 6) {
    return tensorflow::errors::InvalidArgument(
        "usage: client OP_LIBRARY SAVED_MODEL RUNS IN.png OUT.tfci BACK.png");
  }
  const int runs = std::atoi(arguments[2].c_str());
  if (runs < 1) return tensorflow::errors::InvalidArgument("RUNS must be at least 1");
  TF_RETURN_IF_ERROR(LoadOps(arguments[0]));
  SavedModelBundle model;
  TF_RETURN_IF_ERROR(tensorflow::LoadSavedModel({}, {}, arguments[1],
                                                {kServeTag}, &model));
  std::string photograph, file, back;
  TF_RETURN_IF_ERROR(Read(arguments[3], &photograph));
  TF_RETURN_IF_ERROR(TimedRun(model, "compress", runs, photograph, &file));
  TF_RETURN_IF_ERROR(Write(arguments[4], file));
  TF_RETURN_IF_ERROR(TimedRun(model, "decompress_png", runs, file, &back));
  return Write(arguments[5], back);
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = Main({argv + 1, argv + argc});
  if (!status.ok()) {
    std::cerr << "error: " << status.message() << std::endl;
    return 1;
  }
  return 0;
}
