-- Give up lease and name where they are the caller's, then take its consumer out of the group, or names of former
-- processes would pile up there; not while it has pending entries, which would be lost with it.
--
-- KEYS[1] stream  KEYS[2] lease  KEYS[3] name
-- ARGV[1] group  ARGV[2] consumer  ARGV[3] owner
-- The group comes last: it may be missing, which stops the script, and lease and name have to be free all the same.
for i = 2, 3 do
  if redis.call('GET', KEYS[i]) == ARGV[3] then redis.call('DEL', KEYS[i]) end
end
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
