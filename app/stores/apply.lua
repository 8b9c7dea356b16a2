-- Applies one batch of one partition to one stripe: whole, or not at all. The only place where counters change.
--
-- KEYS[1]  the stripe's record; every other key is KEYS[1]'s prefix plus a name, in the same hash slot by its hash tag.
-- ARGV[1]  the generation's identity, which the record must hold: a number alone is given again after Redis was emptied.
-- ARGV[2]  the batch, and ARGV[3] what its simple ones move: MessagePack arrays, see redis_packing.py for their shape.
-- Returns  {1, next offset, counted, duplicate} applied
--          {0, stored checkpoint}               nothing changed: the stored checkpoint is not the expected one
--          {-1}                                 nothing changed: the stripe's record is missing or another's (Redis was emptied)
--          {-2, key}                            nothing changed: a key of ours holds another type
--          {-3, problem}                        nothing is changed any more: a command was refused half-way
--
-- Event ids and subjects are 64-bit hashes as decimal text (a Lua number would lose bits). A seen set is a family of
-- buckets that grows by linear hashing, so that each stays an intset of some 130 members, about 9 bytes each. Each bucket
-- holds a range of hashes and is named by where that begins, so that splitting one asks no more than which are greater.
local call, hex = redis.call, bit.tohex
local record = KEYS[1]
local prefix = string.sub(record, 1, -string.len('gen') - 1)
local batch = cmsgpack.unpack(ARGV[2])
local checkpoint_field, expected, next_offset, watermark = batch[1], batch[2], batch[3], batch[4]
local partition, projects, counters, simple = batch[5], batch[6], batch[7], batch[8]
local parts, singles = batch[9], batch[10]
local moves = cmsgpack.unpack(ARGV[3])

if call('GET', record) ~= ARGV[1] then
  return {-1}
end
local stored = tonumber(call('HGET', prefix .. 'cp', checkpoint_field) or '0')
if stored ~= expected then
  return {0, stored}
end

-- What can fail is checked before the first write, but for the counters: there are up to tens of thousands, and asking
-- for the type of each costs as much as counting it. What was written is undone when one is refused.
local checked = {}
local function check(name, kind)
  local key = prefix .. name
  if not checked[key] then
    checked[key] = true
    local found = call('TYPE', key).ok
    if found ~= 'none' and found ~= kind then
      error({key})
    end
  end
end
local sound, bad = pcall(function()
  check('out:' .. checkpoint_field, 'stream'); check('outs', 'set')
  check('cp', 'hash'); check('wm', 'hash'); check('acct', 'hash')
  for i = 1, #projects[1] do check('p:' .. projects[1][i], 'hash') end
  for _, experiment in ipairs(batch[11] and batch[11][2] or {}) do
    check('x:' .. experiment[1], 'hash'); check('y:' .. experiment[3], 'hash')
  end
end)
if not sound then
  return {-2, type(bad) == 'table' and bad[1] or tostring(bad)}
end

local TARGET = 128
-- Where a hash lies among all there are: from 0 to below RANGE. The same for the same text, and never less for a greater
-- hash. The greatest are rounded to 2^64, which SCALE brings below RANGE too. `bucket_names` in generations.py knows this.
local RANGE = 2 ^ 30
local MIDDLE, SCALE = 2 ^ 63, (1 - 2 ^ -53) * RANGE / 2 ^ 64
local function place_of(member)
  return (member + MIDDLE) * SCALE
end

-- The buckets of a family are ranges of equal width, of which those below `halved` are split into two already.
local function open_family(name)
  local key = prefix .. name
  local size, buckets = unpack(call('HMGET', key, 'n', 'b'))
  size, buckets = tonumber(size or '0'), tonumber(buckets or '1')
  if not size or not buckets then error(key .. ' holds no numbers') end
  local half = 1
  while half * 2 <= buckets do half = half * 2 end
  local width = RANGE / half
  return {
    key = key, stem = key .. ':', size = size, before = size, buckets = buckets,
    width = width, halved = (buckets - half) * width,
  }
end

local function bucket_at(family, place)
  local width = family.width
  if place < family.halved then width = width / 2 end
  return family.stem .. hex(place - place % width)
end
local function bucket_of(family, member)
  return bucket_at(family, place_of(member))
end

-- The bucket that is split next, the one that its upper half goes to, and where that begins.
local function next_split(family)
  local begin = family.halved + family.width / 2
  return family.stem .. hex(family.halved), family.stem .. hex(begin), begin
end

-- Call it when all that moves has moved: what is undone is looked for by where it lies now.
local function note_split(family)
  family.buckets, family.halved = family.buckets + 1, family.halved + family.width
  if family.halved >= RANGE then family.width, family.halved = family.width / 2, 0 end
end

local sets = {}
local function open_set(name)
  local set = sets[name]
  if not set then
    set = open_family('s:' .. name)
    set.added, set.number = {}, 0
    sets[name] = set
  end
  return set
end

local function split(set)
  local source, target, begin = next_split(set)
  local members, moved, number = call('SMEMBERS', source), {}, 0
  for i = 1, #members do
    local member = members[i]
    if place_of(member) >= begin then
      number = number + 1
      moved[number] = member
    end
  end
  for first = 1, number, 4000 do
    local final = math.min(first + 3999, number)
    call('SADD', target, unpack(moved, first, final))
    call('SREM', source, unpack(moved, first, final))
  end
  note_split(set)
end

local function holds(set, member, place)
  return set.size > 0 and call('SISMEMBER', bucket_at(set, place), member) == 1
end

local function remember(set, member, place)
  if call('SADD', bucket_at(set, place), member) == 0 then return false end
  local number = set.number + 1
  set.size, set.number, set.added[number] = set.size + 1, number, member
  if set.size > set.buckets * TARGET then split(set) end
  return true
end

local function is_added(name, member)
  return remember(open_set(name), member, place_of(member))
end

-- Ids are remembered in the epoch of the record, and looked up in the one before and the one after too: of two copies on
-- two partitions the later one may be counted first.
local function ids_of(epoch)
  return open_set('d:' .. (epoch - 1)), open_set('d:' .. epoch), open_set('d:' .. (epoch + 1))
end

local function is_first(previous, current, following, member)
  local place = place_of(member)
  return not holds(previous, member, place) and not holds(following, member, place) and remember(current, member, place)
end

-- `new_simple`: how many of each simple one's events count.
local grow, newest, new_simple = {}, {}, {}
local counted, duplicate = {}, {}
local counted_total, duplicate_total = 0, 0

local function count_events(project, number)
  counted[project] = (counted[project] or 0) + number
  counted_total = counted_total + number
end
local function count_duplicates(project, number)
  duplicate[project] = (duplicate[project] or 0) + number
  duplicate_total = duplicate_total + number
end

-- Never '-0', which Redis does not take for an integer. Most numbers of a batch are a few small ones.
local texts = {[0] = '0'}
local function text(number)
  local known = texts[number]
  if not known then
    known = string.format('%.0f', number)
    texts[number] = known
  end
  return known
end

-- What has to be undone, side by side: a table each would cost more than the write. `touched` is the key last tried.
local grown, grown_keys, grown_fields, grown_numbers, touched = 0, {}, {}, {}, nil
local function grow_field(key, field, number)
  touched = key
  local grew = call('HINCRBY', key, field, text(number))
  grown = grown + 1
  grown_keys[grown], grown_fields[grown], grown_numbers[grown] = key, field, number
  return grew
end

-- By the owner: when the newest event that counted occurred.
local function note_newest(owners, at)
  for i = 1, #owners do
    local owner = owners[i]
    if at > (newest[owner] or 0) then newest[owner] = at end
  end
end

local function account(key, head, received, unmatched, duplicates, rejected)
  if received > 0 then grow_field(key, head .. 'received', received) end
  if unmatched > 0 then grow_field(key, head .. 'unmatched', unmatched) end
  if duplicates > 0 then grow_field(key, head .. 'duplicate', duplicates) end
  for reason, number in pairs(rejected or {}) do grow_field(key, head .. 'rejected:' .. reason, number) end
end

--@values.lua

--@experiments.lua

-- An outbox of a position: what is to be told of conversions, taken out when it was sent.
local outbox, told = prefix .. 'out:' .. checkpoint_field, {}

local function change(sign, indexes, values, receipts, whose, assignments, occurred_at)
  for i = 1, #indexes do
    local counts, valued, guard, uniques, goal, lasts = unpack(parts[indexes[i]])
    if assignments and goal then count_for(assignments, sign, goal, guard, values[i], whose) end
    if not guard or (whose[guard[2]] and is_added(guard[1], whose[guard[2]])) then
      if receipts and receipts[i] then told[#told + 1] = receipts[i] end
      if occurred_at then note_newest(lasts, occurred_at) end
      for j = 1, #counts do
        local index = counts[j]
        grow[index] = (grow[index] or 0) + sign
      end
      local value = values[i]
      for j = 1, #valued do
        local index = valued[j]
        grow[index] = (grow[index] or 0) + sign
        if value then add_value(index, sign, value) end
      end
      for j = 1, #uniques do
        if whose[2] and is_added(uniques[j][1], whose[2]) then
          local found = uniques[j][2]
          for k = 1, #found do grow[found[k]] = (grow[found[k]] or 0) + sign end
        end
      end
    end
  end
end

-- `is_first` of each hash in the text: how many are, and how many are not. Written out, since nearly all that is counted
-- comes through here, and a call costs as much as all the rest of a turn but Redis's own part.
local function remember_all(previous, current, following, hashes)
  local new, known = 0, 0
  local has_previous, has_following = previous.size > 0, following.size > 0
  local stem, added, number = current.stem, current.added, current.number
  for member in string.gmatch(hashes, '[^ ]+') do
    local place, width = (member + MIDDLE) * SCALE, current.width
    if place < current.halved then width = width / 2 end
    if (has_previous and call('SISMEMBER', bucket_at(previous, place), member) == 1)
      or (has_following and call('SISMEMBER', bucket_at(following, place), member) == 1)
      or call('SADD', stem .. hex(place - place % width), member) == 0 then
      known = known + 1
    else
      new, number = new + 1, number + 1
      current.size, current.number, added[number] = current.size + 1, number, member
      if current.size > current.buckets * TARGET then split(current) end
    end
  end
  return new, known
end

-- Whether the hash was added after `before` others.
local function was_added(set, before, member)
  for i = before + 1, set.number do
    if set.added[i] == member then return true end
  end
  return false
end

-- When the newest of these events occurred whose hashes were added after `before` others. `moments`: see redis_packing.py.
local function newest_added(set, before, hashes, moments)
  local is_new, at, begin = {}, 0, 1
  for i = before + 1, set.number do is_new[set.added[i]] = true end
  for member in string.gmatch(hashes, '[^ ]+') do
    if is_new[member] then
      at, is_new[member] = math.max(at, (struct.unpack('<d', moments, begin))), nil
    end
    begin = begin + 8
  end
  return at
end

local function count_all()
  expose_all()
  for i = 1, #simple do
    local project, epoch, hashes, firsts, at, newest_member, at_without_id, moments = unpack(simple[i])
    local previous, current, following = ids_of(epoch)
    local before = current.number
    local new, known = remember_all(previous, current, following, hashes)
    firsts = firsts + new
    if firsts > 0 then
      count_events(project, firsts)
      new_simple[i] = firsts
      -- Where some are copies, the newest is seldom one of them.
      if known > 0 and at > at_without_id and not was_added(current, before, newest_member) then
        at = math.max(at_without_id, newest_added(current, before, hashes, moments))
      end
      note_newest(moves[i][2], at)
    end
    if known > 0 then count_duplicates(project, known) end
  end
  for i = 1, #singles do
    local project, epoch, member, required, session, subject, changes, assignments, occurred_at = unpack(singles[i])
    local previous, current, following = ids_of(epoch)
    local place = required and place_of(required)
    -- What a correction asks for lies before it, so never in the epoch after.
    local is_due = not required or holds(current, required, place) or holds(previous, required, place)
    if is_due and (not member or is_first(previous, current, following, member)) then
      count_events(project, 1)
      local whose = {session, subject}
      for j = 1, #changes do
        local sign, indexes, values, receipts = unpack(changes[j])
        change(sign, indexes, values, receipts, whose, assignments, occurred_at)
      end
    else
      count_duplicates(project, 1)
    end
  end
end

-- `grow_field` of each counter, written out: a batch may move tens of thousands of them.
local function write_simple()
  local owner, key
  for i = 1, #simple do
    local number, moved = new_simple[i], moves[i][1]
    if number then
      local written = texts[number] or text(number)
      for j = 1, #moved, 2 do
        if moved[j] ~= owner then
          owner = moved[j]
          key = prefix .. owner
        end
        touched = key
        local field = moved[j + 1]
        call('HINCRBY', key, field, written)
        grown = grown + 1
        grown_keys[grown], grown_fields[grown], grown_numbers[grown] = key, field, number
      end
    end
  end
end

local function write_all()
  write_simple()
  for index = 1, #counters do
    local key, field, number = prefix .. counters[index][1], counters[index][2], grow[index] or 0
    if number ~= 0 then grow_field(key, field, number) end
    if whole[index] then grow_value(key, string.sub(field, 2), index) end
  end
  local later = {}
  for owner, at in pairs(newest) do
    touched = prefix .. owner
    if at > tonumber(call('HGET', touched, 'last') or '0') then later[touched] = at end
  end
  account(prefix .. 'acct', checkpoint_field .. '|', unpack(partition))
  grow_field(prefix .. 'acct', checkpoint_field .. '|counted', counted_total)
  grow_field(prefix .. 'acct', checkpoint_field .. '|duplicate', duplicate_total)
  local names, received, unmatched, duplicates, rejected = unpack(projects)
  for i = 1, #names do
    local key = prefix .. 'p:' .. names[i]
    account(key, '', received[i], unmatched[i], duplicates[i], rejected[i])
    if counted[i] then grow_field(key, 'counted', counted[i]) end
    if duplicate[i] then grow_field(key, 'duplicate', duplicate[i]) end
  end
  local moments = write_experiments()
  -- From here on nothing can be refused: the types are known, and these values are set or added, not grown.
  for key, at in pairs(later) do call('HSET', key, 'last', text(at)) end
  set_experiments(moments)
  for i = 1, #told do call('XADD', outbox, '*', told[i][1], told[i][2]) end
  if #told > 0 then call('SADD', prefix .. 'outs', checkpoint_field) end
  for _, set in pairs(sets) do
    if set.number > 0 then call('HSET', set.key, 'n', text(set.size), 'b', text(set.buckets)) end
  end
  call('HSET', prefix .. 'cp', checkpoint_field, text(next_offset))
  call('HSET', prefix .. 'wm', checkpoint_field, text(watermark))
end

-- Redis keeps what a script wrote before it failed; an id that stayed behind would be taken for a duplicate. A field
-- that is 0 again goes: whoever reads takes a missing one for 0.
local function undo_all()
  undo_experiments()
  for i = 1, grown do
    local key, field = grown_keys[i], grown_fields[i]
    if call('HINCRBY', key, field, text(-grown_numbers[i])) == 0 then call('HDEL', key, field) end
  end
  for _, set in pairs(sets) do
    for i = 1, set.number do call('SREM', bucket_of(set, set.added[i]), set.added[i]) end
    if set.number > 0 and set.before == 0 then
      call('DEL', set.key)
    elseif set.number > 0 then
      call('HSET', set.key, 'n', text(set.before), 'b', text(set.buckets))
    end
  end
end

local done, problem = pcall(function()
  count_all()
  write_all()
end)
if not done then
  undo_all()
  local said = type(problem) == 'table' and tostring(problem.err) or tostring(problem)
  if string.find(said, 'WRONGTYPE', 1, true) and touched then return {-2, touched} end
  return {-3, said}
end
return {1, next_offset, counted_total, duplicate_total}
