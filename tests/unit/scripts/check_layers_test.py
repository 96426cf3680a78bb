import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
import check_layers


class CheckLayersTest(unittest.TestCase):
    def breaches_of(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return check_layers.check(root)[0]

    def assert_one_breach(self, files, start):
        breaches = self.breaches_of(files)
        self.assertEqual(len(breaches), 1, breaches)
        self.assertTrue(breaches[0].startswith(start), breaches[0])

    def test_a_good_tree_has_none(self):
        self.assertEqual(self.breaches_of({
            "common/base/log.h": "#include <string>\n",
            "common/image/image.cc": '#include "common/base/log.h"\n#include <cuda.h>\n',
            "server/softgpu/exec/engine.cc": '#include "common/base/log.h"\n',
            "server/softgpu/device/stream.cc": '#include "server/softgpu/exec/engine.cc"\n',
            "client/run/main.cc": '#include <grpcpp/grpcpp.h>\n#include "proto/pool.pb.h"\n',
            "common/api/table.cc": '#include "common/api/driver.gen.h"\n',
        }), [])

    def test_client_and_server_are_apart(self):
        self.assert_one_breach({"server/a.h": "", "client/b.cc": '\n#include "server/a.h"\n'}, "client/b.cc:2: ")
        self.assert_one_breach({"client/a.h": "", "server/b.cc": '#include "client/a.h"\n'}, "server/b.cc:1: ")

    def test_common_includes_only_common(self):
        self.assert_one_breach({"server/a.h": "", "common/b.cc": '#include "server/a.h"\n'}, "common/b.cc:1: ")
        self.assert_one_breach({"client/a.h": "", "common/b.cc": '#include <client/a.h>\n'}, "common/b.cc:1: ")

    def test_base_is_lowest(self):
        self.assert_one_breach({"common/image/a.h": "", "common/base/b.h": '#include "common/image/a.h"\n'},
                               "common/base/b.h:1: ")

    def test_cuda_is_unknown_below(self):
        for folder in ("common/base", "server/pool", "server/softgpu/exec", "server/softgpu/ptx"):
            self.assert_one_breach({f"{folder}/a.cc": "# include <cuda.h>\n"}, f"{folder}/a.cc:1: cuda.h")

    def test_engine_knows_no_devices(self):
        self.assert_one_breach({"server/softgpu/device/a.h": "",
                                "server/softgpu/exec/b.cc": '#include "server/softgpu/device/a.h"\n'},
                               "server/softgpu/exec/b.cc:1: ")

    def test_grpc_stays_at_the_edge(self):
        self.assert_one_breach({"server/pool/state.cc": "#include <grpcpp/server.h>\n"}, "server/pool/state.cc:1: ")
        self.assertEqual(self.breaches_of({"server/pool/service.cc": "#include <grpcpp/server.h>\n"}), [])

    def test_applications_keep_their_libraries(self):
        self.assert_one_breach({"common/wire/a.h": "#include <absl/status/status.h>\n"}, "common/wire/a.h:1: ")
        self.assert_one_breach({"server/softgpu/api/a.cc": "#include <spdlog/spdlog.h>\n"},
                               "server/softgpu/api/a.cc:1: ")

    def test_includes_are_paths_from_the_root(self):
        self.assert_one_breach({"server/a.h": "", "server/b.cc": '#include "a.h"\n'}, "server/b.cc:1: a.h ")
        self.assert_one_breach({"server/a.h": "", "server/c/b.cc": '#include "server/c/../a.h"\n'}, "server/c/b.cc:1: ")
        self.assert_one_breach({"common/a.cc": '#include "common/missing/driver.gen.h"\n'}, "common/a.cc:1: ")

    def test_programs_may_include_their_neighbours(self):
        program = {"tests/programs/add.cu": '#include "check.h"\n'}
        self.assertEqual(self.breaches_of({"tests/programs/check.h": "", **program}), [])
        self.assert_one_breach(program, "tests/programs/add.cu:1: ")

    def test_the_product_knows_no_tests(self):
        self.assert_one_breach({"tests/a.h": "", "server/b.cc": '#include "tests/a.h"\n'}, "server/b.cc:1: ")


if __name__ == "__main__":
    unittest.main()
