-- Part of apply.lua, put in where it says so: sums of values. Three fields hold one: `v` its whole part, `u` its
-- millionths, and `w` how many times CARRY was taken out of `v`, so that no integer of Redis and no Lua number is ever
-- too small for it. Without `w` it is 0: few sums get there.
local CARRY = 10 ^ 15

-- What stays of a whole number, and how many times CARRY goes.
local function carried(whole)
  if whole > -CARRY and whole < CARRY then return whole, 0 end
  local times = (whole > 0 and math.floor or math.ceil)(whole / CARRY)
  return whole - times * CARRY, times
end

-- By the counter: what this batch adds.
local whole, micro, carry = {}, {}, {}
local function add_value(index, sign, value)
  local sum, times = carried((whole[index] or 0) + sign * value[1])
  whole[index], micro[index] = sum, (micro[index] or 0) + sign * value[2]
  if times ~= 0 then carry[index] = (carry[index] or 0) + times end
end

-- `number` is less than CARRY; so is what stands there afterwards, whatever stood there before.
local function grow_whole(key, suffix, number)
  local _, times = carried(grow_field(key, 'v' .. suffix, number))
  if times ~= 0 then
    grow_field(key, 'v' .. suffix, -times * CARRY)
    grow_field(key, 'w' .. suffix, times)
  end
end

local function grow_value(key, suffix, index)
  grow_whole(key, suffix, whole[index])
  grow_field(key, 'u' .. suffix, micro[index])
  if carry[index] then grow_field(key, 'w' .. suffix, carry[index]) end
end
