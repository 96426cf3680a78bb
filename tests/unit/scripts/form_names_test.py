"""Which forms of instructions count as one."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
from form_names import fold


class FormNames(unittest.TestCase):
    def test_hints_and_order_do_not_count(self):
        for form in ("ld.global.nc.v2.f32", "ld.global.ca.v2.f32", "ld.global.nc.L1::no_allocate.L2::128B.v2.f32",
                     "ld.volatile.global.v2.f32", "ld.relaxed.gpu.global.v2.f32", "ld.acquire.sys.global.v2.f32"):
            self.assertEqual(fold(form), "ld.global.v2.f32")
        self.assertEqual(fold("bra.uni"), "bra")
        self.assertEqual(fold("ld.shared::cta.u32"), "ld.shared.u32")
        self.assertEqual(fold("cp.async.cg.shared.global.L2::128B"), "cp.async.cg.shared.global")
        self.assertEqual(fold("atom.acq_rel.gpu.global.cas.b32"), "atom.global.cas.b32")

    def test_what_is_computed_counts(self):
        for form in ("ld.global.v2.f32", "ld.v2.f32", "add.sat.f32", "add.ftz.f32", "cvt.rn.satfinite.e4m3x2.f32",
                     "mul24.lo.s32", "vote.sync.uni.pred", "shf.l.clamp.b32", "%tid.x", "ld.shared::cluster.u32",
                     "ld.global.L2::cache_hint.f32"):
            self.assertEqual(fold(form), form)

    def test_order_counts_where_it_is_the_operation(self):
        for form in ("fence.acq_rel.gpu", "membar.gl", "barrier.cluster.arrive.release", "cp.async.ca.shared.global",
                     "mbarrier.arrive.release.cta.shared.b64"):
            self.assertEqual(fold(form), form)


if __name__ == "__main__":
    unittest.main()
