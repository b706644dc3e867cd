-- Take or keep a consumer's name for a node.
--
-- KEYS[1] name
-- ARGV[1] node  ARGV[2] milliseconds
-- Returns 1, or 0 while another node uses it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end -- see lease.lua
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2]) -- first, so that a full Redis does as it is told; see commit.lua
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
