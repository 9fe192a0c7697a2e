#include <accrete/accrete.hpp>
void apply(const Eigen::MatrixXf& base, const Eigen::MatrixXf& u, const Eigen::MatrixXf& v,
           const Eigen::MatrixXf& x, Eigen::MatrixXf& y) {
  y = (base + accrete::outer(u, v)) * x;
}
