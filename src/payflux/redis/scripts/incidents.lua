-- Keep what became of incidents up to a second, each change once, however often and by whomever it is told.
--
-- KEYS[1] lease  KEYS[2] changes  KEYS[3] open incidents  KEYS[4] up to where it was told
-- ARGV[1] owner  ARGV[2] about how many changes are kept  ARGV[3…] of each step, in order: second, state, number of
-- changes, and four words of each of those: kind, processor, id, record
--
-- A successor goes over seconds anew that its predecessor has told, and begins with the state that was kept with them. So a
-- step that is not later than the last one is dropped as a whole. What keeps one of the keys from being written is met
-- before anything is appended.
-- Returns how many changes were kept; or "lease" when that is not the caller's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
redis.call('HLEN', KEYS[3])
redis.call('XLEN', KEYS[2])
local told = tonumber(redis.call('HGET', KEYS[4], 'second') or '') or -1
local kept, i = 0, 3
while i <= #ARGV do
  local second, state, last = tonumber(ARGV[i]), ARGV[i + 1], i + 2 + 4 * tonumber(ARGV[i + 2])
  if second > told then
    for j = i + 3, last, 4 do
      local kind, processor, id, record = ARGV[j], ARGV[j + 1], ARGV[j + 2], ARGV[j + 3]
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
    told = second
    redis.call('HSET', KEYS[4], 'second', ARGV[i], 'state', state)
  end
  i = last + 1
end
return kept
