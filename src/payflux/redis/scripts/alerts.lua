-- Note what receivers were told of incidents, and which changes of incidents are done with.
--
-- KEYS[1] lease  KEYS[2] what receivers were told  KEYS[3] changes of incidents
-- ARGV[1] owner of the lease  ARGV[2] group that reads the changes  ARGV[3] how many pairs follow: a field of what
-- receivers were told, and its value, empty to delete it; behind them the ids of changes to be acked
--
-- What was told comes first: should the ack fail, changes are gone over anew, and nobody is told anything twice.
-- Returns 1, or 0 when the lease is not the caller's; then nothing was noted.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local last = 3 + 2 * tonumber(ARGV[3])
for i = 4, last, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
for i = last + 1, #ARGV do
  redis.call('XACK', KEYS[3], ARGV[2], ARGV[i])
end
return 1
