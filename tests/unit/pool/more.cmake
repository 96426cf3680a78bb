target_sources(${name} PRIVATE pool/invariants.cc pool/world.cc)
