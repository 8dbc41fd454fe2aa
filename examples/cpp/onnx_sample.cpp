// Samples of a model that `reverie export` wrote, as CSV on standard output:
//
//     onnx_sample model.onnx N [SEED [CONDITION ...]]
//
// The metadata of the graph say how the noise is drawn, one block of columns per line: "normal mean sd n" or
// "uniform from to n". Conditions, if the model takes some, are numbers in original units, the same for all samples.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

using Random = std::mt19937_64;

std::vector<float> drawn_noise(const std::string& laws, std::int64_t n_rows, Random& random) {
  std::vector<float> noise;
  for (std::int64_t row = 0; row < n_rows; ++row) {
    std::istringstream lines(laws);
    std::string law;
    double a, b;
    for (std::int64_t n; lines >> law >> a >> b >> n;)
      while (n-- > 0)
        noise.push_back(static_cast<float>(law == "normal" ? std::normal_distribution<double>(a, b)(random)
                                                           : std::uniform_real_distribution<double>(a, b)(random)));
  }
  return noise;
}

void run(const std::string& file, std::int64_t n_wanted, Random& random, const std::vector<double>& condition) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "onnx_sample");
  Ort::Session session(env, file.c_str(), Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;
  const Ort::ModelMetadata metadata = session.GetModelMetadata();
  const auto text = [&](const char* key) {
    return std::string(metadata.LookupCustomMetadataMapAllocated(key, allocator).get());
  };
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::array<const char*, 2> inputs{"noise", "condition"}, outputs{"values", "acceptance"};
  std::istringstream names(text("names"));
  for (std::string name, comma; std::getline(names, name); comma = ",") std::cout << comma << name;
  std::cout << '\n' << std::setprecision(17);

  for (std::int64_t n_written = 0; n_written < n_wanted;) {
    const std::int64_t n = std::min<std::int64_t>(n_wanted - n_written, 10000);
    std::vector<float> noise = drawn_noise(text("noise"), n, random);
    std::vector<double> conditions;
    for (std::int64_t row = 0; row < n; ++row) conditions.insert(conditions.end(), condition.begin(), condition.end());
    const std::array<std::int64_t, 2> of_noise{n, std::stoll(text("n_noise"))};
    const std::array<std::int64_t, 2> of_conditions{n, static_cast<std::int64_t>(condition.size())};
    std::vector<Ort::Value> given;
    given.push_back(Ort::Value::CreateTensor<float>(memory, noise.data(), noise.size(), of_noise.data(), 2));
    if (session.GetInputCount() > 1)
      given.push_back(
          Ort::Value::CreateTensor<double>(memory, conditions.data(), conditions.size(), of_conditions.data(), 2));
    const auto made = session.Run(Ort::RunOptions{nullptr}, inputs.data(), given.data(), given.size(), outputs.data(),
                                  session.GetOutputCount());
    const double* value = made[0].GetTensorData<double>();
    const auto n_values = static_cast<std::int64_t>(made[0].GetTensorTypeAndShapeInfo().GetElementCount()) / n;
    for (std::int64_t row = 0; row < n; ++row, value += n_values) {
      // A model with a referee says with which probability it accepts a sample; others are drawn anew.
      const double accepted = made.size() > 1 ? made[1].GetTensorData<float>()[row] : 1.0;
      if (std::uniform_real_distribution<double>(0.0, 1.0)(random) >= accepted) continue;
      for (std::int64_t j = 0; j < n_values; ++j) std::cout << (j > 0 ? "," : "") << value[j];
      std::cout << '\n';
      ++n_written;
    }
  }
}

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: onnx_sample model.onnx N [SEED [CONDITION ...]]\n";
    return 2;
  }
  Random random(argc > 3 ? std::stoull(argv[3]) : 0);
  std::vector<double> condition;
  for (int k = 4; k < argc; ++k) condition.push_back(std::stod(argv[k]));
  run(argv[1], std::stoll(argv[2]), random, condition);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
