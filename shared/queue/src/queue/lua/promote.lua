-- Moves retries that are due into their lanes. Gateways call it too, or a fleet at zero workers would never wake.
local limit, tenant_running_max = unpack(ARGV)
return promote(tonumber(limit), tonumber(tenant_running_max))
