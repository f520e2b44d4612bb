-- Moves due retries into their lanes. Gateways call it too: otherwise a fleet without workers would
-- never wake.
local limit, tenant_running_max = unpack(ARGV)
return promote(tonumber(limit), tonumber(tenant_running_max))
