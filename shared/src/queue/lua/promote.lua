-- Moves retries that are due into their lanes. Gateways call it too, or a fleet at zero workers would never wake.
-- ARGV: limit, tenant_running_max
return promote(tonumber(ARGV[1]), tonumber(ARGV[2]))
