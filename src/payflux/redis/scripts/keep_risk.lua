-- Keep what was said of processors and snapshots of what is known of them, if the caller holds the lease.
--
-- KEYS[1] lease  KEYS[2] assessments  KEYS[3] risk  KEYS[4] scored  KEYS[5…] snapshots
-- ARGV[1] owner  ARGV[2] length of the log of assessments  ARGV[3] seconds a snapshot is kept
-- ARGV[4] what `scored` becomes, empty when it stays  ARGV[5] assessments that changed  ARGV[6] processors to be forgotten
-- ARGV[7…] three words of each snapshot: itself, processor, its latest assessment as `risk` holds it; then three of each
-- assessment: processor, second, JSON; then the processors to be forgotten
-- Returns 1, or "lease" when that is not the caller's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local snapshots = #KEYS - 4
local first = 7 + 3 * snapshots
local behind = first + 3 * ARGV[5]
for i = first, behind - 1, 3 do
  local last = redis.call('HGET', KEYS[3], ARGV[i])
  if not last or tonumber(string.match(last, '^%d+') or 0) < tonumber(ARGV[i + 1]) then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*',
      'processor', ARGV[i], 'second', ARGV[i + 1], 'assessment', ARGV[i + 2])
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
for i = behind, behind + ARGV[6] - 1 do redis.call('HDEL', KEYS[3], ARGV[i]) end
for i = 1, snapshots do
  redis.call('SET', KEYS[4 + i], ARGV[4 + 3 * i], 'EX', ARGV[3])
  redis.call('HSETNX', KEYS[3], ARGV[5 + 3 * i], ARGV[6 + 3 * i])
end
if ARGV[4] ~= '' then redis.call('SET', KEYS[4], ARGV[4]) end
return 1
