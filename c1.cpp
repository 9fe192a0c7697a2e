#include <accrete/accrete.hpp>
