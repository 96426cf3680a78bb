# gRPC's -pthread defines a macro that the precompiled headers were made without.
set_target_properties(unit_admin PROPERTIES DISABLE_PRECOMPILE_HEADERS ON)
