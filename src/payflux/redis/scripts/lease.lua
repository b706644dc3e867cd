-- Take or keep the lease of the stream. One consumer at a time reads, scores, acks and exports.
--
-- KEYS[1] lease  KEYS[2] ledger
-- ARGV[1] owner  ARGV[2] milliseconds  ARGV[3] 1 = this process never held it  ARGV[4] settled
-- ARGV[5] life: what tells the counts that begin from others, should the ledger come back after Redis lost data
-- Returns false while another owner holds it, else {kept, ledger's fields and values as they were before}.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  -- A holder renews it, so it expires; one that would not was written by somebody else, or PERSISTed.
  if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return false
end
local before = redis.call('HGETALL', KEYS[2])
local same = redis.call('HGET', KEYS[2], 'owner') == ARGV[1] and ARGV[3] == '0'
redis.call('PEXPIRE', KEYS[1], ARGV[2]) -- first, so that a full Redis does as it is told; see commit.lua
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if same then
  redis.call('HSET', KEYS[2], 'settled', ARGV[4])
  -- Anybody may have written there, and every commit would fail at what is no number.
  local acked = redis.call('HGET', KEYS[2], 'acked')
  if not (acked and #acked < 16 and string.find(acked, '^%d+$')) then
    redis.call('HSET', KEYS[2], 'acked', ARGV[4])
  end
else
  redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'acked', 0, 'settled', 0, 'life', ARGV[5])
end
return {same and 1 or 0, before}
