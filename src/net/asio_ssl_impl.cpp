// The one unit that compiles Asio's non-template TLS code (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/ssl/impl/src.hpp>
