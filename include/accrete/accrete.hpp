// SPDX-License-Identifier: MIT
#pragma once

// All of the CPU library but factor/symmetric.hpp, which takes long to compile, and
// plan/calibrate.hpp.
#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/factor/concatenation.hpp>
#include <accrete/factor/effective_rank.hpp>
#include <accrete/factor/hadamard.hpp>
#include <accrete/factor/incremental_pca.hpp>
#include <accrete/factor/incremental_svd.hpp>
#include <accrete/factor/incremental_svd_file.hpp>
#include <accrete/factor/norms.hpp>
#include <accrete/factor/polar.hpp>
#include <accrete/factor/qr.hpp>
#include <accrete/factor/randomized_svd.hpp>
#include <accrete/factor/row_norms.hpp>
#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/grad/gradients.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/initializers.hpp>
#include <accrete/grow/inrank.hpp>
#include <accrete/grow/rank_budget.hpp>
#include <accrete/grow/rank_policies.hpp>
#include <accrete/grow/rank_schedule.hpp>
#include <accrete/grow/spectral_initializers.hpp>
#include <accrete/matrix/cumulative_update.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>
#include <accrete/optim/adamw.hpp>
#include <accrete/optim/decay.hpp>
#include <accrete/optim/muon.hpp>
#include <accrete/optim/optimizer.hpp>
#include <accrete/optim/sgd.hpp>
#include <accrete/optim/state_policy.hpp>
#include <accrete/plan/explain.hpp>
#include <accrete/plan/in_order.hpp>
