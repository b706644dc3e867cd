-- Keep what became of incidents, each change once, however often and by whomever it is told.
--
-- KEYS[1] lease  KEYS[2] changes  KEYS[3] open incidents  KEYS[4] how far each processor was told
-- ARGV[1] owner  ARGV[2] about how many changes are kept  ARGV[3…] five words of each change, in order: kind, processor,
-- second, id, record; a processor's changes of one second come in one call
--
-- A successor goes over seconds anew that its predecessor has told: what is not later than the processor's last second is
-- dropped. What keeps one of the hashes from being written is met before anything is appended.
-- Returns how many changes were kept; or "lease" when that is not the caller's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
redis.call('HLEN', KEYS[3])
local told, kept = {}, 0
for i = 3, #ARGV, 5 do
  local kind, processor, second, id, record = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  told[processor] = told[processor] or tonumber(redis.call('HGET', KEYS[4], processor) or '-1') or -1
  if tonumber(second) > told[processor] then
    if kind ~= 'updated' then
      redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'id', id, 'processor', processor, 'incident', record)
    end
    if kind == 'resolved' then
      redis.call('HDEL', KEYS[3], id)
    else
      redis.call('HSET', KEYS[3], id, record)
    end
    kept = kept + 1
  end
end
for i = 3, #ARGV, 5 do
  local processor, second = ARGV[i + 1], ARGV[i + 2]
  if tonumber(second) > told[processor] then
    told[processor] = tonumber(second)
    redis.call('HSET', KEYS[4], processor, second)
  end
end
return kept
